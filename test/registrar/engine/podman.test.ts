/** This machine's Podman, followed through its service. */
import { usePodman } from '../../support/dockerTest.ts';
import { podmanCases } from './podmanCases.ts';

podmanCases("this machine's Podman", usePodman());
