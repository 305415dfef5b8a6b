/** The registrar on this machine's Podman, through Podman's service. */
import { usePodman } from '../../support/dockerTest.ts';
import { podmanCases } from './podmanCases.ts';

podmanCases("this machine's Podman", usePodman());
