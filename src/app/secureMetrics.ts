/** The metrics of DNS over TLS and over HTTPS: connections, handshakes, the certificate. */
import { counters, type Family, gauge, type Sample } from '../observability/metrics.ts';
import type { SecureConnections, SecureSources } from './answering/secureListeners.ts';

export function secureFamilies(sources: SecureSources): Family[] {
  const { connections, handshakes, requests, certificateExpiresUnixSeconds: expires } = sources;
  const open = Object.entries(connections).flatMap(([transport, of]) =>
    of === undefined ? [] : ([[transport, of]] as const),
  );
  const byProtocol = (
    name: string,
    help: string,
    kind: 'gauge' | 'counter',
    samplesOf: (of: SecureConnections) => readonly [Sample['labels'], number][],
  ): Family => ({
    ...{ kind, name, help },
    samples: open.flatMap(([proto, of]) =>
      samplesOf(of).map(([labels, value]) => ({ labels: { proto, ...labels }, value })),
    ),
  });
  return [
    byProtocol(
      'soradns_secure_connections',
      'Open connections of DNS over TLS and over HTTPS.',
      'gauge',
      (of) => [[{}, of.open]],
    ),
    byProtocol(
      'soradns_secure_connections_accepted_total',
      'Accepted connections of DNS over TLS and over HTTPS.',
      'counter',
      (of) => [[{}, of.accepted]],
    ),
    byProtocol(
      'soradns_secure_connections_refused_total',
      'Connections of DNS over TLS and over HTTPS that were closed for others.',
      'counter',
      (of) => [
        [{ reason: 'busy' }, of.refused],
        [{ reason: 'per_client' }, of.refusedPerClient],
        [{ reason: 'evicted' }, of.evicted],
      ],
    ),
    counters('soradns_tls_handshakes_total', 'TLS handshakes of clients.', 'result', [
      ['new', handshakes.completed - handshakes.resumed],
      ['resumed', handshakes.resumed],
      ['failed', handshakes.failed - handshakes.evicted],
      ['evicted', handshakes.evicted],
    ]),
    counters('soradns_doh_requests_total', 'Requests over HTTPS.', 'result', [
      ['answered', requests.answered],
      ['refused', requests.refused],
    ]),
    ...(expires === undefined
      ? []
      : [
          gauge(
            'soradns_certificate_expiry_seconds',
            'When the certificate of DNS over TLS and HTTPS expires, in seconds since 1970.',
            expires,
          ),
        ]),
  ];
}
