/**
 * Docker's daemon.json: puts the server's address first in "dns" and keeps everything else in its order. The original
 * text is kept in a file beside it, so that --undo restores it exactly. If the file has changed since, --undo removes
 * only the address. Pure.
 */
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { isLoopback } from '../../forward/addresses.ts';
import { type IntegrationPlan, planOf, type ReadHostFile } from './plan.ts';

const PATH = '/etc/docker/daemon.json';
const UNDO_PATH = '/etc/docker/daemon.json.soradns-undo';

/** The content of the file with the original. */
interface Undo {
  readonly address: string;
  /** Null if the file did not exist. */
  readonly before: string | null;
  readonly after: string;
}

export function planDaemonJson(server: SocketAddress, read: ReadHostFile): IntegrationPlan {
  const { address } = server;
  const reason = unfit(server);
  if (reason !== undefined) {
    const problem = `containers cannot query ${printSocketAddress(server)}: ${reason}`;
    return { kind: 'refused', why: 'unfit', problem, fix: 'give --addr 172.17.0.1:53' };
  }
  const before = read(PATH);
  const undoText = read(UNDO_PATH);
  const json = parse(before);
  if (json === undefined) return unreadable(PATH);
  const last = undoText === undefined ? undefined : parseUndo(undoText);
  const others = dnsOf(json).filter((other) => other !== address && other !== last?.address);
  const dns = [address, ...others];
  if (isSameList(dns, dnsOf(json))) return planOf([]);
  const after = printDaemonJson({ ...json, dns }, before);
  const original = originalOf(before, json, last);
  const undo: Undo = { address, before: original, after };
  return planOf([
    { path: UNDO_PATH, before: undoText, after: `${JSON.stringify(undo, null, 2)}\n` },
    { path: PATH, before, after },
  ]);
}

export function planDaemonJsonUndo(read: ReadHostFile): IntegrationPlan {
  const undoText = read(UNDO_PATH);
  if (undoText === undefined) return planOf([]);
  const undo = parseUndo(undoText);
  if (undo === undefined) return unreadable(UNDO_PATH);
  const current = read(PATH);
  const gone = { path: UNDO_PATH, before: undoText, after: undefined };
  // The process ended after it had written the first of the two files.
  if (current === (undo.before ?? undefined)) return planOf([gone]);
  if (current === undo.after) {
    return planOf([{ path: PATH, before: current, after: undo.before ?? undefined }, gone]);
  }
  const json = parse(current);
  if (json === undefined) return unreadable(PATH);
  const after =
    current === undefined ? current : printDaemonJson(without(undo.address, json), current);
  const note = `${PATH} has changed since, so only ${undo.address} is removed from it`;
  return planOf([{ path: PATH, before: current, after }, gone], [note]);
}

/** The file without the changes of soradns; null without a file. */
function originalOf(text: string | undefined, json: Json, last: Undo | undefined): string | null {
  if (text === undefined) return null;
  if (last === undefined) return text;
  return last.after === text ? last.before : printDaemonJson(without(last.address, json), text);
}

function without(address: string, json: Json): Json {
  const dns = dnsOf(json).filter((other) => other !== address);
  const { dns: _, ...rest } = json;
  return dns.length > 0 ? { ...json, dns } : rest;
}

function unfit({ address, port }: SocketAddress): string | undefined {
  if (isLoopback(address)) return 'a loopback address is the container itself';
  return port === DNS_PORT ? undefined : `Docker can use port ${DNS_PORT} only`;
}

type Json = Readonly<Record<string, unknown>>;

/** dockerd reads an empty or missing file as an empty object. */
function parse(text: string | undefined): Json | undefined {
  if (text === undefined || text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    const { dns = [] } = isObject ? (value as Json) : {};
    return isObject && Array.isArray(dns) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

function parseUndo(text: string): Undo | undefined {
  const { address, before, after } = (parse(text) ?? {}) as Partial<Undo>;
  const isWhole = typeof address === 'string' && typeof after === 'string';
  return isWhole && (before === null || typeof before === 'string')
    ? { address, before, after }
    : undefined;
}

function dnsOf(json: Json): readonly string[] {
  return Array.isArray(json.dns) ? json.dns.map(String) : [];
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

const INDENT = 2;

/** Keeps the indentation of the replaced text. */
function printDaemonJson(json: Json, replaced: string | undefined): string {
  const indent = /^[ \t]+(?=")/m.exec(replaced ?? '')?.[0] ?? INDENT;
  return `${JSON.stringify(json, null, indent)}\n`;
}

function unreadable(path: string): IntegrationPlan {
  const problem = `${path} must be a JSON object, and its "dns" must be a list`;
  return { kind: 'refused', why: 'unreadable', problem, fix: `python3 -m json.tool ${path}` };
}
