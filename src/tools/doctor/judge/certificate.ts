/** Judges the certificate of --dot and --doh: whether it can be used, and for how long yet. Pure. */
import { type Finding, findings } from './finding.ts';

export interface CertificateFacts {
  readonly certFile: string;
  readonly state:
    | {
        readonly kind: 'usable';
        /** DNS names. */
        readonly names: readonly string[];
        readonly expiresUnixSeconds: number;
      }
    /** One line, that begins with the option at fault. */
    | { readonly kind: 'unusable'; readonly problem: string };
}

const DAY_SECONDS = 86_400;
/** ACME clients renew a month ahead, so a renewal has failed by then. */
const WARN_DAYS = 14;

const { ok, problem, warning } = findings('certificate');

export function judgeCertificate(
  { certFile, state }: CertificateFacts,
  nowSeconds: number,
): Finding {
  const show = `openssl x509 -noout -dates -ext subjectAltName -in ${quoted(certFile)}`;
  if (state.kind === 'unusable') return problem(state.problem, show);
  const leftDays = Math.floor((state.expiresUnixSeconds - nowSeconds) / DAY_SECONDS);
  // The server reads the file again within a minute.
  const fix = `sudo certbot renew # or what else renews ${quoted(certFile)}`;
  if (leftDays < 0) return problem(`the certificate in ${certFile} has expired`, fix);
  if (leftDays < WARN_DAYS)
    return warning(`the certificate in ${certFile} expires in ${leftDays} days`, fix);
  const { names } = state;
  const whose = names.length === 0 ? 'no name' : names.join(', ');
  return ok(`the certificate in ${certFile} is for ${whose}, and valid for ${leftDays} days`);
}

function quoted(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
