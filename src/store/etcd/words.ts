/**
 * What grpc-js, OpenSSL and etcd say when they refuse, in words for whoever runs the server: one line that names the
 * cause. Pure.
 */

/** What a text says -> how we say it; the first match counts. `$1` is the match's own part. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/certificate has expired/i, 'its certificate has expired'],
  [/certificate is not yet valid/i, 'its certificate is not yet valid; are both clocks right?'],
  [
    /certificate's altnames: IP: (\S+) is not/i,
    'its certificate is not for $1: its subjectAltName does not list IP:$1',
  ],
  [
    /certificate's altnames: Host: (\S+?)\.? is not/i,
    'its certificate is not for $1: its subjectAltName does not list DNS:$1',
  ],
  [
    /certificate's altnames: Cert does not contain a DNS name/i,
    'its certificate is not for this host: its subjectAltName lists no DNS name',
  ],
  [
    /certificate's altnames: Host is a non-canonical IP address/i,
    'its certificate is not for an address in this form: write all four numbers of the address',
  ],
  [
    /verify the (?:first|leaf)|self.signed|local issuer/i,
    'its certificate is signed by no CA that we trust',
  ],
  [
    /alert (?:bad certificate|certificate|unknown ca)/i,
    'it wants a client certificate of its own CA',
  ],
  [/before secure TLS connection/i, 'it ended the TLS handshake; does it speak TLS?'],
  [/SSL routines:[^:]*:(wrong version number)/i, 'it does not speak TLS'],
  [
    /^No connection established\. Last error: Failed to connect/,
    'it ended the connection; does it want TLS?',
  ],
  [/invalid user ID or password/, 'it refuses the user or the password'],
  [/user name is empty/, 'it wants a user and a password'],
  [/permission denied/, "permission denied: the user's role does not cover our keys"],
  [/^Name resolution failed/, 'its host name is not known'],
  [/^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note:/, '$1'],
];

/** One line. A text that is not known is given as it is, without what grpc-js adds to all. */
export function plainWords(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  for (const [pattern, words] of PHRASES) {
    const match = pattern.exec(line);
    if (match !== null) return words.replaceAll('$1', match[1] ?? '');
  }
  return line;
}
