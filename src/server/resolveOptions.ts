/** What a resolver is made of: see `resolve.ts`. */
import type { Question, Response } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import type { SignedForm } from '../sign/signedSections.ts';
import type { Decided } from '../zone/answer.ts';
import type { Node } from '../zone/tree/tree.ts';
import type { Freshness, NameFacts, ZoneSettings } from '../zone/tree/view.ts';
import type { Designated } from './designated.ts';
import type { ServerTexts } from './ownNames.ts';
import type { SignedAnswers } from './signedAnswers.ts';

export interface ResolveOptions {
  readonly root: Node;
  /** The number changes with each change of the zones' data. */
  readonly version: () => number;
  readonly settings: () => ZoneSettings;
  readonly freshness: () => Freshness;
  readonly facts: NameFacts;
  /** Whether the store may say which servers have names outside our zones. Default: never. */
  readonly hasStubZones?: () => boolean;
  /** `undefined`: no questions are sent to other servers. */
  readonly forwarder: () => Forwarder | undefined;
  /** Whether the server may ask the name servers of names that our zones delegate. Default: never. */
  readonly asksDelegated?: () => boolean;
  /** Whether names outside our zones are looked up for this client address. */
  readonly mayRecurse: (address: string) => boolean;
  /** Whether a name outside our zones may lead to private addresses and into our zones. */
  readonly mayRebind: (qname: Name) => boolean;
  /** What the server says about itself; absent: the defaults. */
  readonly texts?: (() => ServerTexts) | undefined;
  /** Octets of the longest reply over UDP, for clients that can receive it. */
  readonly maxUdpOctets: number;
  readonly monotonicMs: () => number;
  readonly unixSeconds: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** The encrypted transports of this server; undefined without them. */
  readonly designated?: (() => Designated | undefined) | undefined;
  /** `undefined`: no answer is signed. */
  readonly signedAnswers?: SignedAnswers | undefined;
  /** Receives errors that are bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
  /** Receives each decision about our names that holds for every client, when it is made. */
  readonly onDecided?: ((decided: Decided) => void) | undefined;
  /** As `onDecided`, if the answer is being signed. It returns the function that receives the signed form. */
  readonly onSigning?: ((decided: Decided) => (form: SignedForm) => void) | undefined;
  /** Receives each response about a name outside our zones that holds for every client that asks without CD and DO. */
  readonly onForwarded?: ((question: Question, response: Response) => void) | undefined;
}
