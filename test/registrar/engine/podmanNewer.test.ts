/** The registrar on a newer Debian's Podman, through Podman's service. */
import { usePodman } from '../../support/dockerTest.ts';
import { provideNewerDebian } from '../../support/newerDebian.ts';
import { podmanCases } from './podmanCases.ts';

const debian = provideNewerDebian();
const podman =
  debian.kind === 'there' ? usePodman({ root: debian.root }) : usePodman({}, debian.reason);

podmanCases('Podman 5', podman);
