// `view`, the pure part of the widget: node --test tests/widget/
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { view, dayFrom, duration, filterOf, hashOf, remember } = createRequire(import.meta.url)('../../static/status.js');
const fixture = readFileSync(new URL('every-state.json', import.meta.url), 'utf8');

/** A document that the viewer vouches for, with these services: `{key: {state, ...}}`. */
function documentOf(services, more = {}) {
  const document = {
    ...JSON.parse(fixture),
    stale: false,
    viewer: { data: 'fresh', version: '0.1.0' },
    ...more,
  };
  document.services = Object.fromEntries(
    Object.entries(services).map(([key, service]) => [key, { key, name: key.toUpperCase(), ...service }]),
  );
  return document;
}

const everyState = () => documentOf(JSON.parse(fixture).services);
const up = { state: 'up', ok: true };
const down = { state: 'down', ok: false };
const headline = (services) => view(documentOf(services), 2).banner.headline;
const labels = (seen) => seen.cards.map((card) => card.label);
const greens = (seen) =>
  [seen.banner, ...seen.cards, ...seen.banner.counts].filter((one) => one.tone === 'good');

test('every state has its label and its colour, the worst first', () => {
  const seen = view(everyState(), 2);
  assert.deepEqual(
    seen.cards.slice(0, 9).map((card) => [card.state, card.label, card.tone]),
    [
      ['down', 'ISSUE', 'bad'],
      ['unstable', 'UNSTABLE', 'bad'],
      ['degraded', 'DEGRADED', 'warn'],
      ['unknown', 'UNKNOWN', 'muted'],
      ['starting', 'STARTING', 'info'],
      ['blocked', 'BLOCKED', 'blocked'],
      ['held', 'HELD', 'muted'],
      ['stopped', 'STOPPED', 'muted'],
      ['up', 'OK', 'good'],
    ],
  );
});

test('among services of one state the main ones come first, the others in the order of the configuration', () => {
  const seen = view(documentOf({ b: up, c: down, a: up, d: down, e: { ...up, primary: true } }), 2);
  assert.deepEqual(
    seen.cards.map((card) => card.key),
    ['c', 'd', 'e', 'b', 'a'],
  );
});

test('the banner says how many are well or are not', () => {
  assert.equal(headline({ a: up, b: up }), 'All 2 services are well');
  assert.equal(headline({ a: up }), 'A is well');
  assert.equal(headline({ a: down, b: up, c: up }), '1 of 3 services has an issue');
  assert.equal(headline({ a: down, b: { state: 'blocked' }, c: up }), '2 of 3 services have an issue');
  assert.equal(headline({ a: { state: 'degraded' }, b: up }), '1 of 2 services is degraded');
  assert.equal(headline({ a: { state: 'unknown' }, b: up }), '1 of 2 services is not known');
  assert.equal(
    headline({ a: { state: 'starting' }, b: { state: 'starting' } }),
    '2 of 2 services are starting',
  );
  assert.equal(headline({ a: { state: 'stopped' }, b: up, c: up }), 'All 2 running services are well');
  assert.equal(headline({ a: { state: 'stopped' }, b: { state: 'held' } }), 'No service is running');
});

test('a service that is stopped is named and not called well, nor is anybody said to have stopped it', () => {
  const said = (services) => {
    const { headline, text, tone } = view(documentOf(services), 2).banner;
    return [headline, text, tone];
  };
  const stopped = { state: 'stopped', ok: false };
  const held = { state: 'held', ok: true };
  assert.deepEqual(said({ a: up, b: up, c: stopped }), [
    'All 2 running services are well',
    '1 is stopped: C.',
    'muted',
  ]);
  assert.deepEqual(said({ a: up, b: { ...stopped, ok: true } }), [
    'The running service is well',
    '1 is stopped: B.',
    'good',
  ]);
  assert.deepEqual(said({ a: up, b: held }), ['The running service is well', '1 is on hold: B.', 'good']);
  assert.deepEqual(said({ a: up, b: held, c: stopped }), [
    'The running service is well',
    '2 are stopped or on hold: B and C.',
    'muted',
  ]);
  assert.deepEqual(said({ a: stopped, b: stopped }), [
    'No service is running',
    '2 are stopped: A and B.',
    'muted',
  ]);
});

test('a main service drives the words and the colour', () => {
  const main = (state) => ({ state, primary: true });
  const one = view(documentOf({ main: main('down'), b: down, c: up }), 2).banner;
  assert.deepEqual(
    [one.headline, one.text, one.tone],
    ['Main service down: MAIN', '1 of the other 2 services has an issue too.', 'bad'],
  );
  assert.equal(
    headline({ x: main('down'), y: main('unstable'), z: main('up') }),
    '2 of 3 main services have an issue',
  );
  const others = view(documentOf({ main: main('up'), b: down, c: up }), 2).banner;
  assert.deepEqual(
    [others.headline, others.text, others.tone],
    ['1 of 3 services has an issue', 'B is down. The main service, MAIN, is well.', 'warn'],
  );
});

test('a main service that is not well is the headline, whatever its state', () => {
  const said = (state) => headline({ main: { state, primary: true }, b: up });
  assert.deepEqual(['down', 'unstable', 'blocked', 'degraded', 'unknown', 'starting', 'held', 'stopped'].map(said), [
    'Main service down: MAIN',
    'Main service unstable: MAIN',
    'Main service blocked: MAIN',
    'Main service degraded: MAIN',
    'Main service not known: MAIN',
    'Main service starting: MAIN',
    'Main service on hold: MAIN',
    'Main service stopped: MAIN',
  ]);
});

test('the banner names what is wrong, and counts when that is much', () => {
  const said = (...states) =>
    view(documentOf(Object.fromEntries(states.map((state, n) => [`s${n}`, { state }]))), 2).banner.text;
  assert.equal(said('down', 'up'), 'S0 is down.');
  assert.equal(said('down', 'unstable', 'blocked'), 'S0 is down, S1 is unstable and S2 is blocked.');
  assert.equal(said(...Array(6).fill('down')), 'S0 is down, S1 is down, S2 is down and 3 more.');
});

test('a reason of several checks has a line for each, under the names on the card', () => {
  const reason = 'http: refused by 127.0.0.1:80; systemd: web.service is failed; process: none matches "web"';
  const [card] = view(documentOf({ a: { ...down, reason } }), 2).cards;
  assert.equal(
    card.reason,
    'HTTP: refused by 127.0.0.1:80\nUnit: web.service is failed\nProcesses: none matches "web"',
  );
});

test('nothing is green in a document that cannot be believed', () => {
  const services = { a: up, b: down };
  const cases = {
    stale: documentOf(services, {
      stale: true,
      viewer: { data: 'stale', reason: 'nothing written for 3 min' },
    }),
    earlier_boot: documentOf(services, { stale: true, viewer: { data: 'earlier_boot' } }),
    stopped: documentOf(services, { stale: true, viewer: { data: 'stopped' } }),
    future: documentOf(services, { stale: true, viewer: { data: 'future' } }),
    // A word of a later viewer, and one that contradicts itself.
    asleep: documentOf(services, { viewer: { data: 'asleep' } }),
    'stale ': documentOf(services, { stale: true, viewer: { data: 'fresh' } }),
  };
  for (const [kind, document] of Object.entries(cases)) {
    const seen = view(document, 2);
    assert.equal(seen.kind, kind.trim());
    assert.equal(seen.fresh, false);
    assert.equal(seen.wrong, true);
    assert.deepEqual(greens(seen), []);
    assert.deepEqual(labels(seen), ['was ISSUE', 'was OK']);
    assert.equal(seen.banner.tone, 'old');
    assert.deepEqual(seen.banner.counts, []);
  }
});

test('what was fresh when it came is not green once it is older than its own limit', () => {
  const document = documentOf({ a: up }, { stale_after_s: 20 });
  assert.equal(view(document, 20).kind, 'fresh');
  const seen = view(document, 20.5);
  assert.equal(seen.kind, 'waiting');
  assert.deepEqual(greens(seen), []);
});

test('a lost connection is told before anything else, with the last that is known', () => {
  const seen = view(documentOf({ a: up }), 7, {
    lost: 'it cannot be reached',
    answeredAge: 2,
    title: 'host',
  });
  assert.equal(seen.banner.headline, 'No connection to Wellkeep');
  assert.equal(seen.banner.text, 'It cannot be reached. Below is what was last known.');
  assert.equal(seen.banner.answered.seconds, 5);
  assert.equal(seen.title, 'NO CONNECTION · host');
  assert.deepEqual(greens(seen), []);
});

test('before the first answer nothing is claimed', () => {
  const seen = view(null, null);
  assert.equal(seen.kind, 'loading');
  assert.deepEqual(greens(seen), []);
  assert.equal(view(null, null, { lost: 'it cannot be reached' }).banner.text, 'It cannot be reached.');
});

test('no data says why', () => {
  const none = {
    stale: true,
    viewer: { data: 'none', reason: 'status.json does not exist' },
    services: {},
    total: 0,
  };
  const { banner, title } = view(none, null, { title: 'host' });
  assert.deepEqual(
    [banner.headline, banner.text, title],
    ['There is no data', 'status.json does not exist.', 'NO DATA · host'],
  );
});

test('without services it says which file to edit', () => {
  const { banner } = view(documentOf({}), 2);
  assert.deepEqual([banner.headline, banner.tone], ['No services configured', 'muted']);
  assert.match(banner.text, /^Edit \/etc\/wellkeep\/monitor\.yml/);
});

test('live checks are marked', () => {
  const seen = view(documentOf({ a: up }, { mode: 'live_checks', viewer: { data: 'live' } }), 2);
  assert.equal(seen.fresh, true);
  assert.equal(seen.banner.live, true);
  assert.equal(seen.notices[0].title, 'Live checks');
  assert.match(seen.notices[0].text, /looked at just now, once\./);
});

test('a look of the viewer that is old is not called a look of just now, nor the silence of a monitor', () => {
  const viewer = { data: 'stale', reason: 'the viewer last looked at noon' };
  const seen = view(documentOf({ a: up }, { mode: 'live_checks', stale: true, viewer }), 60);
  assert.deepEqual(
    [seen.banner.headline, seen.banner.text, seen.banner.tone],
    ['The last look is old', 'The viewer last looked at noon. Below is what was last known.', 'old'],
  );
  assert.match(seen.notices[0].text, /looked at once\./);
  assert.deepEqual(greens(seen), []);
});

test('a configuration that is not in force is told', () => {
  const document = documentOf({ a: up }, { monitor: { config: { error: 'monitor.yml:3:1: unknown key' } } });
  assert.equal(view(document, 2).notices[0].text, 'monitor.yml:3:1: unknown key');
});

test('ages are reckoned from the age of the document, never from a clock of the browser', () => {
  const document = documentOf({
    a: { ...up, last_checked: '2026-11-23T09:00:00Z', since: '2026-11-23T08:00:02Z' },
  });
  const [card] = view(document, 2).cards;
  assert.deepEqual(card.checked, { at: '2026-11-23T09:00:00Z', seconds: 4 });
  assert.equal(card.since.seconds, 3602);
});

test('an age that cannot be told is not invented', () => {
  const document = documentOf({ a: { ...up, last_checked: '2026-11-23T09:00:00Z' } });
  delete document.stale;
  delete document.viewer;
  const seen = view(document, null);
  assert.equal(seen.kind, 'undated');
  assert.equal(seen.cards[0].checked.seconds, null);
  assert.deepEqual(greens(seen), []);
});

test('a bare status.json from any other server is judged by its age', () => {
  const document = documentOf({ a: up });
  delete document.stale;
  delete document.viewer;
  assert.equal(view(document, 3).kind, 'fresh');
  assert.equal(view(document, 300).kind, 'stale');
  assert.equal(view({ ...document, monitor: { state: 'stopped' } }, 3).kind, 'stopped');
});

test('durations are said in two units at most', () => {
  const said = {
    0: '0 s',
    59: '59 s',
    60: '1 min',
    61: '1 min 1 s',
    3600: '1 h',
    11700: '3 h 15 min',
    1051200: '12 d 4 h',
  };
  for (const [seconds, words] of Object.entries(said)) assert.equal(duration(Number(seconds)), words);
  assert.equal(duration(-3), '0 s');
});

test('a card shows what each kind of check read', () => {
  const { cards } = view(everyState(), 2);
  const facts = (key) =>
    Object.fromEntries(
      cards.find((card) => card.key === key).facts.map((fact) => [fact.id, `${fact.verdict}: ${fact.value}`]),
    );
  assert.deepEqual(facts('flask_web'), {
    http: 'pass: 200 · 45 ms',
    port: 'pass: 5000 · open',
    systemd: 'pass: active (running)',
    process: 'pass: 2 running',
  });
  assert.deepEqual(facts('checkout'), {
    http: 'fail: 503 · 2210 ms',
    port: 'pass: 8001 · open',
    systemd: 'pass: active (running) · 2 restarts',
    process: 'pass: 4 running',
  });
  assert.deepEqual(facts('search'), {
    http: 'pass: 200 · 1840 ms',
    certificate: 'null: 9 days left',
    port: 'pass: search.internal:443 · open',
  });
  assert.equal(facts('nginx').certificate, undefined, '67 days are no news');
  assert.deepEqual(facts('worker'), {
    systemd: 'fail: activating (auto-restart) · 7 restarts',
    process: 'fail: 0 running, 1 needed',
  });
  assert.deepEqual(facts('reports'), { systemd: 'unknown: unknown' });
  assert.deepEqual(facts('recommender').http, 'fail: no answer');
});

/** What a card says is done about a service, as text; a moment is what the page makes of it. */
function caresOf(service, more = {}, age = 2, options = {}) {
  const [card] = view(documentOf({ a: { ...down, ...service } }, more), age, options).cards;
  const said = (one) => (typeof one === 'string' ? one : `<${one.kind} ${one.seconds}>`);
  return card.cares.map(({ label, tone, words }) => [label, tone, words.map(said).join('')]);
}

const waiting = { mode: 'act', steps: ['restart'], heals_within_an_hour: 1, budget: 5, phase: 'waiting' };

test('a card says what healing will do and when', () => {
  const heal = { ...waiting, next: 'restart', next_at: '2026-11-23T09:00:38Z' };
  assert.deepEqual(caresOf({ heal }), [['Healing', 'info', 'restart 2 of 5 <next -34>']]);
  assert.deepEqual(caresOf({ heal: { ...heal, mode: 'observe', why_not: 'backoff' } }), [
    ['Would heal', 'info', 'restart 2 of 5 <next -34>: backoff'],
  ]);
  assert.deepEqual(caresOf({ heal: { ...heal, heals_within_an_hour: 5 } }), [
    ['Healing', 'warn', 'needs you: 5 heals within an hour are used up; restart as a trial <next -34>'],
  ]);
});

test('a card says what healing does now', () => {
  const during = (phase, step) => caresOf({ heal: { ...waiting, phase, last: { step } } })[0][2];
  assert.equal(during('acting', 'restart'), 'restarting now');
  assert.equal(during('acting', 'reload'), 'reloading now');
  assert.equal(during('acting', 'run /bin/fix'), 'running /bin/fix now');
  assert.equal(during('verifying', 'restart'), 'restarted, being verified');
  const deciding = { ...waiting, phase: 'verifying', next_at: '2026-11-23T09:00:38Z', last: { step: 'restart' } };
  assert.equal(caresOf({ heal: deciding })[0][2], 'restarted, being verified: decided <next -34>');
  assert.equal(during('verifying', 'run /bin/fix'), '/bin/fix was run, being verified');
  const looking = { ...waiting, phase: 'looking', next: 'restart', last: { step: 'reload' } };
  assert.equal(caresOf({ heal: looking })[0][2], 'looking again before restarting');
  assert.deepEqual(caresOf({ heal: { ...looking, phase: 'of_a_later_version' } }), []);
  assert.deepEqual(caresOf({ heal: { ...waiting, phase: 'idle', next: 'restart' } }), []);
  assert.deepEqual(caresOf({}), []);
});

test('a card says why nothing is healed', () => {
  const heal = { ...waiting, why_not: 'db, which it needs, is down' };
  assert.deepEqual(caresOf({ heal }), [['Healing', 'warn', 'not healed: db, which it needs, is down']]);
  assert.deepEqual(
    caresOf({ heal: { ...heal, next_at: '2026-11-23T09:01:04Z' } }),
    [['Healing', 'warn', 'not healed: db, which it needs, is down']],
    'what is only looked at again is not counted down to',
  );
  assert.deepEqual(caresOf({ reason: 'db, which it needs, is down; port: refused', heal }), [
    ['Healing', 'warn', 'not healed'],
  ]);
});

test('a card says who holds it, until when and why, and what the open incident is', () => {
  const hold = { since: '2026-11-23T09:00:00Z', until: '2026-11-23T09:10:04Z', by: 'ada', reason: 'deploy' };
  assert.deepEqual(caresOf({ state: 'held', hold }), [
    ['On hold', 'muted', 'until 09:10 UTC (<next -600>), asked for by ada: deploy'],
  ]);
  const tomorrow = { until: '2026-11-24T08:00:00Z' };
  assert.match(caresOf({ state: 'held', hold: tomorrow })[0][2], /^until 2026-11-24 08:00 UTC/);
  const incident = { began: '2026-11-23T08:59:04Z', cause: 'port: refused', heals: [{}, {}] };
  assert.deepEqual(caresOf({ incident }), [['Incident', 'bad', '<for 60>: port: refused · 2 heals']]);
  const same = { ...incident, cause: 'port: refused (failure 1 of 3)', heals: [{ result: 'observed' }, {}] };
  assert.deepEqual(caresOf({ reason: 'port: refused', incident: same }), [['Incident', 'bad', '<for 60> · 1 heal']]);
  assert.deepEqual(caresOf({ incident: { ...incident, ended: '2026-11-23T09:00:00Z' } }), []);
});

test('nobody is said to be healing over data that cannot be believed', () => {
  const heal = { ...waiting, phase: 'acting', last: { step: 'restart' } };
  const incident = { began: '2026-11-23T08:59:04Z', cause: 'port: refused' };
  const labels = (options) => caresOf({ heal, incident }, {}, 2, options).map(([label]) => label);
  assert.deepEqual(labels({}), ['Healing', 'Incident']);
  assert.deepEqual(labels({ lost: 'it cannot be reached', answeredAge: 2 }), ['Incident']);
});

test('that a part of the configuration waits for a restart is told on the admin page', () => {
  const document = documentOf({ a: up }, { monitor: { config: { needs_restart: 'state_dir /b ...' } } });
  assert.deepEqual(
    view(document, 2, { admin: true }).notices.map(({ title, text }) => [title, text]),
    [['Part of the configuration waits for a restart', 'state_dir /b ...']],
  );
  assert.deepEqual(view(document, 2).notices, []);
});

test('over old data the admin page tells where to look, and the public page does not', () => {
  const old = documentOf({ a: up }, { stale: true, viewer: { data: 'stale', reason: 'nothing since 2026-11-23T08:59:02.123Z' } });
  const words = (admin) => view(old, 190, { admin }).banner.text;
  assert.equal(words(false), 'Nothing since 2026-11-23 08:59:02 UTC. Below is what was last known.');
  assert.ok(words(true).includes('systemctl status wellkeep-monitor'));
  const { next_check } = everyState().services.checkout;
  const promises = (document) => view(document, 2, { admin: true }).cards[0].rows.some(({ label }) => label === 'Next check');
  assert.equal(promises(documentOf({ a: { ...up, next_check } })), true);
  assert.equal(promises({ ...old, services: { a: { ...up, next_check } } }), false, 'nobody knows whether there will be one');
});

test('that nothing can be healed on this machine is told on the admin page', () => {
  const document = documentOf({ a: up }, { monitor: { cannot_heal: 'polkitd is not installed' } });
  assert.deepEqual(
    view(document, 2, { admin: true }).notices.map(({ title, text }) => [title, text]),
    [['Nothing can be healed on this machine', 'polkitd is not installed']],
  );
  assert.deepEqual(view(document, 2).notices, []);
});

test('the admin page tells the policy and the last heal', () => {
  const [card] = view(documentOf({ a: everyState().services.checkout }), 2, { admin: true }).cards;
  const rows = Object.fromEntries(card.rows.map(({ label, value }) => [label, value]));
  assert.deepEqual(
    [rows['Heals by'], rows['Heals this hour'], rows['Last heal'], rows['Incident id']],
    ['restart', '1 of 5', 'restart · it did not help', '20261123T085840Z-checkout'],
  );
});

test('the shape that users have today is enough', () => {
  const document = {
    services: {
      flask_web: {
        key: 'flask_web',
        name: 'Flask Web',
        ok: true,
        http: { ok: true, status_code: 200, latency_ms: 45 },
        port: { ok: true },
        systemd: { state: 'active' },
        process: { count: 2 },
        last_checked: '2025-10-27T12:00:00Z',
      },
      mail: { key: 'mail', name: 'Mail', ok: false, port: { ok: false } },
    },
    ok_count: 1,
    fail_count: 1,
    total: 2,
    mode: 'production_monitoring',
  };
  const seen = view(document, 2);
  assert.deepEqual(labels(seen), ['ISSUE', 'OK']);
  assert.deepEqual(
    seen.cards[1].facts.map((fact) => fact.value),
    ['200 · 45 ms', 'open', 'active', '2 running'],
  );
});

test('all details are there for the admin page, and only there', () => {
  const admin = view(everyState(), 2, { admin: true });
  const checkout = admin.cards.find((card) => card.key === 'checkout');
  assert.deepEqual(
    checkout.checks.map((check) => check.id),
    ['http', 'port', 'systemd', 'process'],
  );
  assert.equal(checkout.checks[0].rows[0].value, 'http://127.0.0.1:8001/health');
  assert.deepEqual(checkout.rows.find((row) => row.label === 'Next check').value, {
    at: '2026-11-23T09:00:10Z',
    seconds: -6,
    kind: 'next',
  });
  assert.deepEqual(
    checkout.history.map((change) => change.to),
    ['down', 'degraded', 'up'],
  );
  assert.deepEqual(
    admin.panels.map((panel) => panel.id),
    ['host', 'monitor', 'data'],
  );
  const open = view(everyState(), 2);
  assert.deepEqual([open.panels, open.cards[0].checks, open.cards[0].history], [[], [], []]);
});

test('only the services asked for are shown and counted', () => {
  const seen = view(documentOf({ a: up, b: down, c: up }), 2, { services: ['c', 'a', 'typo', 'a'] });
  assert.deepEqual(
    seen.cards.map((card) => card.key),
    ['typo', 'c', 'a'],
  );
  assert.equal(seen.banner.headline, '1 of 3 services is not known');
  const [missing] = view(documentOf({}), 2, { services: ['constructor'] }).cards;
  assert.deepEqual(
    [missing.label, missing.reason],
    ['UNKNOWN', 'There is no service with this key in monitor.yml.'],
  );
});

test('the title of the tab says what is wrong first', () => {
  const titled = (services) => view(documentOf(services), 2, { title: 'host' }).title;
  assert.equal(titled({ a: up }), 'host');
  assert.equal(titled({ a: down, b: down, c: up }), '(2) ISSUE · host');
  assert.equal(titled({ a: { state: 'degraded' } }), 'DEGRADED · host');
});

test('trouble stands above the groups, which keep the order of the configuration', () => {
  const titles = (services, options) =>
    view(documentOf(services), 2, options).sections.map(({ title, cards }) => [title, ...cards.map(({ key }) => key)]);
  const more = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`m${n}`, { ...up, group: 'More' }]));
  const services = { ...more, a: { ...up, group: 'Shop' }, b: { ...up, group: 'Data' }, c: up, d: { ...down, group: 'Data' }, e: { ...up, group: 'Shop' } };
  assert.deepEqual(titles(services), [
    ['Needs attention', 'd'],
    ['More', ...Object.keys(more)],
    ['Shop', 'a', 'e'],
    ['Data', 'b'],
    ['Other services', 'c'],
  ]);
  assert.equal(titles(services, { lost: 'it is gone', answeredAge: 2 })[0][0], 'Needed attention');
  assert.deepEqual(titles({ a: up, b: down }), [[null, 'b', 'a']]);
  assert.deepEqual(titles({ a: { ...up, group: 'Shop' }, b: down }), [[null, 'b', 'a']], 'a few have their group on them');
  assert.deepEqual(titles({ ...more, ...Object.fromEntries(Object.keys(more).map((key) => [`${key}x`, more[key]])) }).length, 1);
});

const many = () => Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`s${n}`, n === 40 ? down : { ...up, group: n < 50 ? 'Shop' : 'Data' }]));

test('many services can be searched by words and by state; the banner still tells of all', () => {
  const found = (words, state = '') => view(documentOf(many()), 2, { filter: { words, state } });
  assert.deepEqual(found('S4 shop').cards.map(({ key }) => key), ['s4', ...Array.from({ length: 9 }, (_, n) => `s${41 + n}`)]);
  assert.deepEqual(found('', 'attention').cards.map(({ key }) => key), ['s40']);
  assert.deepEqual(found('', 'up').filter, { words: '', state: 'up', shown: 99, total: 100 });
  assert.equal(found('nothing like it').banner.headline, '1 of 100 services has an issue');
  const few = view(documentOf({ a: up }), 2, { filter: { words: 'b', state: '' } });
  assert.deepEqual([few.filter, few.cards.length], [null, 1], 'what nobody could undo hides nothing');
});

test('what is looked for is kept in the hash of the address, and other hashes are left alone', () => {
  for (const filter of [{ words: 'a&b =ü', state: 'down' }, { words: '', state: 'attention' }, { words: '', state: '' }])
    assert.deepEqual(filterOf(hashOf(filter)), filter);
  assert.equal(hashOf({ words: '', state: '' }), '');
  assert.equal(filterOf('#status'), null);
  assert.deepEqual(filterOf('#state=constructor'), { words: '', state: '' });
});

test('of many cards those off the screen have no figures, and all say what is wrong', () => {
  const seen = view(documentOf({ ...many(), last: { ...up, port: { ok: true }, reason: 'why' } }), 2);
  assert.deepEqual([seen.cards.at(-1).facts, seen.cards.at(-1).reason], [[], 'why']);
  const near = view(documentOf({ ...many(), last: { ...up, port: { ok: true } } }), 2, { near: new Set(['last']) });
  assert.equal(near.cards.at(-1).facts.length, 1);
});

test('no day is green unless most of it was watched', () => {
  const tone = (day) => {
    const [card] = view(documentOf({ a: up }), 2, { past: new Map([['a', { days: [{ from: '2026-11-22T00:00:00Z', ...day }] }]]) }).cards;
    return `${card.days.bars[0].tone}: ${card.days.bars[0].text}`;
  };
  assert.equal(tone({ known: 0 }), 'none: 2026-11-22: not known');
  assert.equal(tone({}), 'none: 2026-11-22: not known');
  assert.equal(tone({ ratio: 1, known: 0.4 }), 'none: 2026-11-22: not known, 40 % of the day known');
  assert.equal(tone({ ratio: 1, known: 0.6 }), 'good: 2026-11-22: no failure, 60 % of the day known');
  assert.equal(tone({ ratio: 0.99999, known: 1 }), 'warn: 2026-11-22: 99.99 % up');
  assert.equal(tone({ ratio: 0.5, known: 0.1, worst: 'down', heals: 1 }), 'bad: 2026-11-22: 50 % up, down, 1 heal, 10 % of the day known');
  assert.equal(tone({ known: 0, not_counted: 1 }), 'muted: 2026-11-22: on hold or stopped');
  assert.equal(view(documentOf({ a: up }), 2).cards[0].days, null, 'an older viewer has no days');
  const short = (...days) => view(documentOf({ a: up }), 2, { past: new Map([['a', { days }]]) }).cards[0].days.short;
  const [well, bad] = [{ ratio: 1, known: 1 }, { ratio: 0.5, known: 1 }];
  assert.deepEqual(
    [short({ known: 0 }), short(well), short(well, bad), short(bad, bad)],
    ['nothing known yet', 'no failure', '1 day with failures', '2 days with failures'],
  );
});

test('uptime is rounded down, and a window of which little is known says so', () => {
  const figures = (uptime) => view(documentOf({ a: { ...up, uptime } }), 2).cards[0].uptime.map(({ value, note }) => [value, note]);
  assert.deepEqual(
    figures({ '24h': { ratio: 1, known: 1 }, '7d': { ratio: 0.99999, known: 0.95 }, '30d': { ratio: 0.29, known: 0.004 }, '90d': { known: 0 } }),
    [
      ['100 %', null],
      ['99.99 %', null],
      ['29 %', '<1 % known'],
      ['–', 'not known'],
    ],
  );
  assert.deepEqual(figures(undefined), []);
});

test('the latency is what this page has seen, with a gap where there was no answer', () => {
  const seen = new Map();
  const look = (at, check) => remember(seen, { a: { last_checked: `2026-11-23T09:00:${at}Z`, http: check } });
  look('00', { ok: true, latency_ms: 40 });
  look('00', { ok: true, latency_ms: 40 });
  look('10', { ok: false, latency_ms: 3000 });
  look('20', { ok: true, latency_ms: 60 });
  look('30', { ok: true, latency_ms: 50 });
  assert.deepEqual(seen.get('a').points, [40, null, 60, 50]);
  const [card] = view(documentOf({ a: up }), 2, { latencies: new Map([['a', seen.get('a').points]]) }).cards;
  assert.equal(card.latency.text, '40 ms to 60 ms in 4 checks seen');
  for (let n = 0; n < 100; n += 1) remember(seen, { a: { last_checked: String(n), port: { latency_ms: 1 } } });
  assert.equal(seen.get('a').points.length, 60);
  remember(seen, {});
  assert.equal(seen.size, 0, 'what is no longer watched is forgotten');
});

test('the latency is that of the HTTP check, and of the port only where there is none', () => {
  const seen = new Map();
  const look = (at, checks) => remember(seen, { a: { last_checked: at, ...checks } });
  look('1', { http: { ok: true, latency_ms: 40 }, port: { ok: true, latency_ms: 1 } });
  look('2', { http: { ok: false }, port: { ok: true, latency_ms: 1 } });
  look('3', { http: null, port: { ok: true, latency_ms: 1 } });
  look('4', { http: { ok: true }, systemd: { latency_ms: 9 } });
  assert.deepEqual(seen.get('a').points, [40, null, 1, null]);
});

test('the latency begins with the last 24 hours and goes on with what this page has seen', () => {
  const hours_ms = Array.from({ length: 24 }, (_, n) => (n < 20 ? null : n));
  const told = (latency, seen = []) =>
    view(documentOf({ a: up }), 2, { past: new Map([['a', { latency }]]), latencies: new Map([['a', seen]]) }).cards[0].latency;
  const past = { hours_ms, mean_ms: 21, max_ms: 80 };
  assert.deepEqual(told(past), { points: hours_ms, least: 20, most: 23, label: 'Latency, last 24 h:', text: '21 ms, at most 80 ms' });
  assert.deepEqual(told(past, [90, null, 9]), {
    points: [...hours_ms, 90, null, 9],
    least: 9,
    most: 90,
    label: 'Latency, last 24 h:',
    text: '21 ms, at most 90 ms',
  });
  assert.equal(told(past, Array(60).fill(5)).points.length, 36, 'the hours stay the larger part');
  const few = { ...past, hours_ms: hours_ms.map((ms, n) => (n < 22 ? null : ms)) };
  assert.equal(told(few), null, 'two hours are no line');
  assert.deepEqual([told(few, [1, 2, 3]).label, told(few, [1, 2, 3]).text], ['Latency:', '1 ms to 3 ms in 3 checks seen']);
  for (const wrong of [null, [], { hours_ms: 'x' }, { hours_ms: ['1', {}, null, NaN] }, { hours_ms }]) assert.equal(told(wrong), null);
});

test('the arrow keys lead from day to day and not out of them', () => {
  const to = (day, ...keys) => keys.map((key) => dayFrom(day, 90, key));
  assert.deepEqual(to(50, 'ArrowLeft', 'ArrowRight', 'ArrowDown', 'ArrowUp'), [49, 51, 49, 51]);
  assert.deepEqual(to(50, 'PageDown', 'PageUp', 'Home', 'End'), [43, 57, 1, 90]);
  assert.deepEqual(to(1, 'ArrowLeft', 'PageDown', 'Home'), [1, 1, 1]);
  assert.deepEqual(to(90, 'ArrowRight', 'PageUp', 'End'), [90, 90, 90]);
  assert.deepEqual(to(50, 'Tab', 'Enter', 'toString'), [null, null, null]);
});

test('an open incident has its steps, and past ones their cause, their times and what was done', () => {
  const [checkout] = view(documentOf({ checkout: everyState().services.checkout }), 2).cards;
  assert.deepEqual(
    checkout.timeline.map(({ words }) => words),
    ['answered 503 Service Unavailable', 'confirmed, 10 s after it began', 'restart: it did not help'],
  );
  const incidents = {
    incidents: [
      { id: 'x', service: 'a', began: '2026-11-23T08:00:00Z', cause: 'refused', time_to_detect_s: 20, time_to_recover_s: 95, ended: '2026-11-23T08:01:35Z', heals: [{ step: 'restart', result: 'failed' }, { step: 'restart', result: 'failed' }, { step: 'restart', result: 'healed' }] },
      { id: 'y', service: 'gone', began: '2026-11-23T07:00:00Z' },
      { id: 'z', service: 'a', began: 'soon' },
    ],
  };
  const told = (admin) => view(documentOf({ a: up }), 2, { incidents, admin }).incidents.map(({ name, rows }) => [name, ...rows.map(({ label, value }) => `${label}: ${value}`)]);
  const said = ['A', 'Detected after: 20 s', 'Recovered after: 1 min 35 s', 'Done: restart: it did not help (2 times), restart: it helped'];
  assert.deepEqual(told(false), [said]);
  assert.deepEqual(told(true), [[...said, 'Evidence: sudo wellkeep history a --evidence x']]);
  assert.equal(view(documentOf({ a: up }), 2).incidents, null, 'an older viewer tells none');
  const reduced = { service: 'a', began: '2026-11-23T08:00:00Z', ended: '2026-11-23T08:01:35Z', time_to_recover_s: 95 };
  const [{ cause, rows }] = view(documentOf({ a: up }), 2, { incidents: { incidents: [reduced] } }).incidents;
  assert.deepEqual(
    [cause, rows],
    [null, [{ label: 'Recovered after', value: '1 min 35 s' }]],
    'where the details are held back nobody says that nothing was done',
  );
});

test('the admin page tells how often a service failed', () => {
  const failures = { '7d': { incidents: 2, more_before: true, mean_time_to_detect_s: 12.5, mean_time_to_recover_s: 70, restarts_an_hour: 0.05 } };
  const [card] = view(documentOf({ a: up }), 2, { admin: true, past: new Map([['a', { failures }]]) }).cards;
  assert.equal(
    card.rows.find(({ label }) => label === 'Last 7 d').value,
    '2 incidents or more · found in 12 s · mended in 1 min 10 s · 0.05 restarts an hour',
  );
});

test('a state of a later version is shown as it is, and is not green', () => {
  const seen = view(documentOf({ a: { state: 'hibernating', ok: true } }), 2);
  assert.deepEqual(labels(seen), ['HIBERNATING']);
  assert.deepEqual(greens(seen), []);
});

test('missing, null and absurd fields break nothing and are never green', () => {
  const absurd = [null, 0, '', 'text', [], {}, true, [1], { a: 1 }];
  const fields = ['services', 'host', 'monitor', 'viewer', 'generated_at', 'stale_after_s', 'mode'];
  for (const value of absurd) {
    assert.deepEqual(greens(view(value, 2)), []);
    for (const field of fields) view({ ...everyState(), [field]: value }, 2, { admin: true });
    const inner = [
      'name',
      'state',
      'http',
      'port',
      'systemd',
      'process',
      'history',
      'depends_on',
      'since',
      'reason',
      'group',
      'heal',
      'hold',
      'incident',
      'uptime',
    ];
    for (const field of inner)
      view(documentOf({ a: { ...up, http: {}, [field]: value } }), 2, { admin: true });
    const details = {
      http: { certificate: value, latency_ms: value },
      process: { count: value, pids: value },
      history: [value],
      heal: { ...waiting, last: value, next: value, next_at: value, why_not: value, steps: value },
      hold: { until: '2026-11-23T09:10:04Z', by: value, reason: value },
      incident: { began: '2026-11-23T09:00:00Z', cause: value, heals: value },
    };
    assert.deepEqual(greens(view(documentOf({ a: value }), 2, { admin: true })), []);
    const past = { days: [value, { from: value, ratio: value, known: value, worst: value, heals: value }], failures: { '24h': value } };
    for (const one of [value, past, { days: value, failures: value }])
      view(documentOf({ a: { ...up, uptime: { '24h': value, '7d': { ratio: value } } } }), 2, { admin: true, past: new Map([['a', one]]) });
    for (const one of [value, { incidents: value }, { incidents: [{ id: value, service: 'a', began: value, heals: value }] }])
      view(documentOf({ a: up }), 2, { admin: true, incidents: one });
    view(documentOf({ a: { ...up, ...details } }), 2, { admin: true });
  }
});

test('a name is passed on as text, whatever it looks like', () => {
  const name = '<img src=x onerror=alert(1)>';
  const seen = view(documentOf({ __proto__: null, a: { ...up, name, reason: name } }), 2);
  assert.deepEqual([seen.cards[0].name, seen.cards[0].reason], [name, name]);
});
