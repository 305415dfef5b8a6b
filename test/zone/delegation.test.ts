/** Zone cuts: the names that our zones delegate, what a cut hides, and what our zone still has there. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printName } from '../../src/dns/name.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { contentsAt, listingView, namesOf } from '../../src/zone/contents.ts';
import { referral, serversOfCut } from '../../src/zone/delegation.ts';
import type { Catalog } from '../../src/zone/tree/catalog.ts';
import { ForwardedNames } from '../../src/zone/tree/forwardedNames.ts';
import type { Node } from '../../src/zone/tree/tree.ts';
import type { ZoneSettings } from '../../src/zone/tree/view.ts';
import { cutProblem, cutsInForce, DelegatedNames } from '../../src/zone/zoneCuts.ts';
import { ask, catalogOf, name, respond, type Services, text, viewOf } from '../support/zone.ts';

const TEAM: Services = {
  'local/skydns/web': { host: '10.0.0.1' },
  'local/skydns/dev/team': { rr: ['NS ns1.team.dev.skydns.local.', 'NS ns.example.net.'] },
  'local/skydns/dev/team/ns1': { host: '10.0.0.53', ttl: 60 },
  'local/skydns/dev/team/hidden': { host: '10.0.0.9', text: 'hidden' },
};

const DS = 'DS 4711 13 2 9F1D1C4E3B7A2C5D8E6F00112233445566778899AABBCCDDEEFF001122334455';

function nodesOf(node: Node): readonly Node[] {
  return [node, ...(node.children ?? []).flatMap(nodesOf)];
}

/** The zones with their cuts, and with other domains of other servers. */
function zonesWith(
  services: Services,
  { apexes = ['skydns.local.'], domains = [] as readonly string[], ...other } = {},
) {
  const catalog = catalogOf(services);
  const delegated = new DelegatedNames();
  delegated.apply(nodesOf(catalog.root));
  const ours = apexes.map((apex) => name(apex));
  const theirs = domains.map((domain) => name(domain));
  const cuts = cutsInForce(delegated.cuts(), ours, theirs);
  const settings: Partial<ZoneSettings> = {
    ...other,
    apexes: ours,
    forwarded: new ForwardedNames(theirs, ours, cuts),
  };
  return { catalog, settings, cuts: cuts.map((cut) => printName(cut.name)) };
}

/** The referral's authority and additional sections; the answer's records; or why there are none. */
function outcomeOf(
  { catalog, settings }: { catalog: Catalog; settings: Partial<ZoneSettings> },
  qname: string,
  type = 'A',
): readonly string[] {
  const decided = ask(catalog, qname, type, { settings });
  if (decided.kind === 'delegated') {
    const { answer, authority, additional, authoritative } = referral(
      viewOf(catalog, { settings }),
      decided.cut,
      true,
    );
    assert.deepEqual([answer, authoritative], [[], false]);
    return ['refers', ...text(authority), ...text(additional)];
  }
  if (decided.kind !== 'response') return [decided.kind];
  const { rcode, answer, authority } = decided.response;
  return answer.length > 0 ? text(answer) : [`rcode ${rcode}`, ...text(authority).map(ownerOf)];
}

const ownerOf = (line: string): string => line.split(' ')[0] ?? '';

const REFERRAL = [
  'refers',
  'team.dev.skydns.local. 3600 IN NS ns.example.net.',
  'team.dev.skydns.local. 3600 IN NS ns1.team.dev.skydns.local.',
  'ns1.team.dev.skydns.local. 60 IN A 10.0.0.53',
];

describe('A zone cut', () => {
  it('Every question at and below it but DS gets a referral with glue, and hidden names none of their records', () => {
    const zones = zonesWith(TEAM);
    assert.deepEqual(zones.cuts, ['team.dev.skydns.local.']);
    for (const qname of ['', 'x.', 'hidden.', 'ns1.', 'a.b.', '*.'].map(
      (each) => `${each}team.dev.skydns.local.`,
    ))
      for (const type of ['A', 'NS', 'ANY', 'SOA', 'TXT', 'NSEC'])
        assert.deepEqual(outcomeOf(zones, qname, type), REFERRAL, `${qname} ${type}`);
    assert.deepEqual(outcomeOf(zones, 'x.team.dev.skydns.local.', 'DS'), REFERRAL);
  });

  it('DS at the cut is answered by the parent, with and without records', () => {
    const without = zonesWith(TEAM);
    assert.deepEqual(outcomeOf(without, 'TEAM.dev.skydns.local.', 'DS'), [
      'rcode 0',
      'skydns.local.',
    ]);
    const rr = ['NS ns1.team.dev.skydns.local.', DS];
    const secure = zonesWith({ ...TEAM, 'local/skydns/dev/team': { rr, ttl: 300 } });
    const ds = `team.dev.skydns.local. 300 IN ${DS}`;
    assert.deepEqual(outcomeOf(secure, 'team.dev.skydns.local.', 'DS'), [ds]);
    assert.deepEqual(outcomeOf(secure, 'x.team.dev.skydns.local.').slice(1, 3), [
      ds,
      'team.dev.skydns.local. 300 IN NS ns1.team.dev.skydns.local.',
    ]);
    assert.deepEqual(outcomeOf(secure, 'web.skydns.local.', 'DS'), ['rcode 0', 'skydns.local.']);
  });

  it('DS at an alias of a cut, or of a domain below another one, is answered by the upper domain', () => {
    const alias = { 'local/skydns/alias': { host: 'team.dev.skydns.local' } };
    const cname = 'alias.skydns.local. 3600 IN CNAME team.dev.skydns.local.';
    const without = zonesWith({ ...TEAM, ...alias });
    const nodata = ask(without.catalog, 'alias.skydns.local.', 'DS', without);
    assert.ok(nodata.kind === 'response');
    assert.deepEqual(text(nodata.response.answer), [cname]);
    assert.deepEqual(text(nodata.response.authority).map(ownerOf), ['skydns.local.']);
    const rr = ['NS ns1.team.dev.skydns.local.', DS];
    const services = { ...TEAM, ...alias, 'local/skydns/dev/team': { rr, ttl: 300 } };
    const secure = zonesWith(services);
    const ds = `team.dev.skydns.local. 300 IN ${DS}`;
    assert.deepEqual(outcomeOf(secure, 'alias.skydns.local.', 'DS'), [cname, ds]);
    const decided = ask(secure.catalog, 'alias.skydns.local.', 'DS', secure);
    assert.ok(decided.kind === 'response');
    const names = decided.basis?.names.map(printName);
    assert.ok(names?.includes('team.dev.skydns.local.'), `${names}`);
    const apexes = ['skydns.local.', 'dev.skydns.local.'];
    const below = zonesWith({ 'local/skydns/alias': { host: 'dev.skydns.local' } }, { apexes });
    const denied = ask(below.catalog, 'alias.skydns.local.', 'DS', below);
    assert.ok(denied.kind === 'response');
    assert.deepEqual(text(denied.response.authority).map(ownerOf), ['skydns.local.']);
  });

  it('DS of a domain below another one is answered by the upper one', () => {
    const zones = zonesWith(TEAM, { apexes: ['local.', 'skydns.local.'] });
    assert.deepEqual(outcomeOf(zones, 'skydns.local.', 'DS'), ['rcode 0', 'local.']);
    assert.deepEqual(outcomeOf(zones, 'skydns.local.', 'CAA'), ['rcode 0', 'skydns.local.']);
    assert.deepEqual(outcomeOf(zones, 'local.', 'DS'), ['rcode 0', 'local.']);
  });

  it('The names above exist, and their answers leave out what it hides', () => {
    const zones = zonesWith(TEAM);
    assert.deepEqual(outcomeOf(zones, 'skydns.local.'), ['skydns.local. 3600 IN A 10.0.0.1']);
    assert.deepEqual(outcomeOf(zones, 'dev.skydns.local.'), ['rcode 0', 'skydns.local.']);
    assert.deepEqual(outcomeOf(zones, 'dev.skydns.local.', 'NS'), ['rcode 0', 'skydns.local.']);
    assert.deepEqual(outcomeOf(zones, 'none.skydns.local.'), ['rcode 3', 'skydns.local.']);
    const alone = { 'local/skydns/a/b/team': { rr: ['NS ns.example.net.'] } };
    for (const qname of ['b.a.skydns.local.', 'a.skydns.local.', 'skydns.local.'])
      assert.deepEqual(outcomeOf(zonesWith(alone), qname), ['rcode 0', 'skydns.local.'], qname);
  });

  it('What it hides does not hide the value above it', () => {
    for (const above of ['local/skydns/dev', 'local/skydns/dev/team']) {
      const services = { ...TEAM, [above]: { ...(TEAM[above] as object), host: '10.0.0.5' } };
      const { 'local/skydns/web': _, ...rest } = services;
      const zones = zonesWith(rest);
      const expected =
        above === 'local/skydns/dev'
          ? ['dev.skydns.local. 3600 IN A 10.0.0.5']
          : ['rcode 0', 'skydns.local.'];
      assert.deepEqual(outcomeOf(zones, 'dev.skydns.local.'), expected);
    }
    const atApex = {
      'local/skydns': { host: '10.0.0.5' },
      'local/skydns/t': { rr: ['NS ns1.t.skydns.local.'] },
      'local/skydns/t/ns1': { host: '10.0.0.6' },
    };
    assert.deepEqual(outcomeOf(zonesWith(atApex), 'skydns.local.'), [
      'skydns.local. 3600 IN A 10.0.0.5',
    ]);
  });

  it('A wildcard above does not reach below it, and makes no cut itself', () => {
    const wild = { 'local/skydns/dev/*': { host: '10.0.0.7', rr: ['NS ns.example.net.'] } };
    const zones = zonesWith({ ...TEAM, ...wild });
    assert.deepEqual(outcomeOf(zones, 'x.team.dev.skydns.local.'), REFERRAL);
    assert.deepEqual(outcomeOf(zones, 'other.dev.skydns.local.'), [
      'other.dev.skydns.local. 3600 IN A 10.0.0.7',
    ]);
    assert.deepEqual(outcomeOf(zones, 'other.dev.skydns.local.', 'NS'), [
      'rcode 0',
      'skydns.local.',
    ]);
  });

  it('Only the name’s own records make one: not those of a key below, of the domain itself, or of names below dns', () => {
    const rr = ['NS ns.example.net.'];
    const zones = zonesWith({
      'local/skydns': { rr },
      'local/skydns/dns/ns/a': { host: '10.0.0.53', rr },
      'local/skydns/team/6381a3bb': { rr },
    });
    assert.deepEqual(zones.cuts, ['6381a3bb.team.skydns.local.']);
    assert.deepEqual(outcomeOf(zones, 'team.skydns.local.', 'NS'), ['rcode 0', 'skydns.local.']);
    assert.deepEqual(outcomeOf(zones, 'skydns.local.', 'NS'), [
      'skydns.local. 3600 IN NS a.ns.dns.skydns.local.',
    ]);
    const reasonOf = (qname: string) => cutProblem(name(qname), [name('skydns.local.')]);
    assert.match(JSON.stringify(reasonOf('skydns.local.')), /a domain itself/);
    assert.match(JSON.stringify(reasonOf('a.ns.dns.skydns.local.')), /cannot be delegated/);
    assert.deepEqual(reasonOf('team.example.'), { kind: 'outside' });
  });

  it('One below another counts only behind a domain of ours or of other servers', () => {
    const rr = ['NS ns.example.net.'];
    const services = { 'local/skydns/a': { rr }, 'local/skydns/a/b/c': { rr } };
    assert.deepEqual(zonesWith(services).cuts, ['a.skydns.local.']);
    const apexes = ['skydns.local.', 'b.a.skydns.local.'];
    const ours = zonesWith({ ...services, 'local/skydns/a/b/x': { host: '10.0.0.1' } }, { apexes });
    assert.deepEqual(ours.cuts, ['a.skydns.local.', 'c.b.a.skydns.local.']);
    assert.deepEqual(outcomeOf(ours, 'x.b.a.skydns.local.'), [
      'x.b.a.skydns.local. 3600 IN A 10.0.0.1',
    ]);
    assert.deepEqual(outcomeOf(ours, 'x.a.skydns.local.')[0], 'refers');
    const domains = ['a.skydns.local.'];
    assert.deepEqual(zonesWith(services, { domains }).cuts, ['c.b.a.skydns.local.']);
    assert.deepEqual(outcomeOf(zonesWith(services, { domains }), 'x.a.skydns.local.'), ['notOurs']);
  });

  it('Glue is the addresses at a name server’s own key, or else of the keys one label below it', () => {
    const rr = [
      'NS ns1.team.skydns.local.',
      'NS team.skydns.local.',
      'NS ns.other.skydns.local.',
      'NS own.skydns.local.',
    ];
    const zones = zonesWith({
      'local/skydns/team': { rr, host: '10.0.0.1' },
      'local/skydns/team/ns1/6381a3bb': { host: '10.0.0.2' },
      'local/skydns/team/ns1/7492b4cc': { host: '2001:db8::2' },
      'local/skydns/team/x': { host: '10.0.0.9' },
      'local/skydns/other': { rr: ['NS ns.other.skydns.local.'] },
      'local/skydns/other/ns': { host: '10.0.0.3' },
      'local/skydns/own/a': { host: '10.0.0.4' },
    });
    const [ds, ...lines] = outcomeOf(zones, 'x.team.skydns.local.');
    assert.equal(ds, 'refers');
    assert.deepEqual(
      lines.filter((line) => !line.includes(' NS ')),
      [
        'ns.other.skydns.local. 3600 IN A 10.0.0.3',
        'ns1.team.skydns.local. 3600 IN A 10.0.0.2',
        'ns1.team.skydns.local. 3600 IN AAAA 2001:db8::2',
        'team.skydns.local. 3600 IN A 10.0.0.1',
      ],
    );
    const { settings, catalog } = zones;
    const decided = ask(catalog, 'team.skydns.local.', 'A', { settings });
    assert.ok(decided.kind === 'delegated');
    const servers = serversOfCut(viewOf(catalog, { settings }), decided.cut);
    assert.deepEqual(
      servers.map(({ addresses, isOurs }) => [addresses.length, isOurs]),
      [
        [2, false],
        [1, false],
        [1, false],
        [1, true],
      ],
    );
  });

  it('An alias leads into it as to an outside name', () => {
    const zones = zonesWith({ ...TEAM, 'local/skydns/alias': { host: 'x.team.dev.skydns.local' } });
    const decided = ask(zones.catalog, 'alias.skydns.local.', 'A', { settings: zones.settings });
    assert.equal(decided.kind, 'incomplete');
    const { answer } = respond(zones.catalog, 'alias.skydns.local.', 'A', {
      settings: zones.settings,
      recursionDesired: false,
    });
    assert.deepEqual(text(answer), ['alias.skydns.local. 3600 IN CNAME x.team.dev.skydns.local.']);
  });

  it('The contents of the zone have its NS, DS and glue, and nothing else of what it hides', () => {
    const rr = ['NS ns1.team.dev.skydns.local.', DS];
    const { catalog, settings } = zonesWith({
      ...TEAM,
      'local/skydns/dev/team': { rr, host: '10.9.9.9' },
    });
    const view = listingView(viewOf(catalog, { settings }));
    const rrs = [...namesOf(view, name('skydns.local.'))].flatMap(
      (owner) => contentsAt(view, owner, { aggregates: true }).rrs,
    );
    assert.deepEqual(rrs.map((each) => printRr(each).replaceAll('\t', ' ')).sort(), [
      'ns1.team.dev.skydns.local. 60 IN A 10.0.0.53',
      'skydns.local. 3600 IN A 10.0.0.1',
      'skydns.local. 3600 IN SRV 10 100 0 web.skydns.local.',
      `team.dev.skydns.local. 3600 IN ${DS}`,
      'team.dev.skydns.local. 3600 IN NS ns1.team.dev.skydns.local.',
      'web.skydns.local. 3600 IN A 10.0.0.1',
      'web.skydns.local. 3600 IN SRV 10 100 0 web.skydns.local.',
    ]);
  });

  it('It comes and goes with the value, and a change of other values is no change of cuts', () => {
    const { catalog } = zonesWith(TEAM);
    const delegated = new DelegatedNames();
    const nodes = nodesOf(catalog.root);
    assert.ok(delegated.apply(nodes));
    const team = nodes.find(({ label }) => label === 'team') as Node;
    assert.equal(delegated.apply(nodes.filter((node) => node !== team)), false);
    catalog.apply([
      { kind: 'remove', key: '/skydns/local/skydns/dev/team', revision: 99 } as never,
    ]);
    assert.equal(delegated.cuts().length, 1);
    assert.ok(delegated.apply([team]));
    assert.deepEqual([delegated.cuts().length, delegated.apply([team])], [0, false]);
  });
});
