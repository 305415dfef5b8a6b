/**
 * Room in the kernel for bursts, asked for on every UDP socket. Not more: in overload the buffer is full, and a packet
 * waits for all before it. The kernel doubles the figure and takes 768 octets and more of it for each small packet:
 * 2,700 at most.
 */
export const KERNEL_BUFFER_OCTETS: number = 1 << 20;
