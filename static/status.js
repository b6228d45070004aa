/*
 * Wellkeep's page and widget, in one file without a build step:
 *
 *   <script src="/static/status.js"></script>   and   <div data-wellkeep></div>   or   <wellkeep-status></wellkeep-status>
 *
 * on any page, as often as you like. Attributes, all optional; the element takes them without `data-`, too:
 *   data-services="a,b"   only these services, by key
 *   data-refresh="15"     seconds between two looks; sooner while something is wrong, or before the data turns stale
 *   data-theme="dark"     `light` or `dark`, instead of what the page around it is
 *   data-src="/status/"   where the viewer is, if not where this script came from. A viewer of another origin must
 *                         allow the page to ask it: `viewer: cors:` in monitor.yml
 *   data-admin            every detail of every check; where those are not for everybody, the browser asks who it is
 *   data-page             the page is about nothing else: title, icon and the address's #hash are ours, and recent
 *                         incidents are shown
 * What stands in the div is shown until the script has come. A <div> that is added later is taken up by
 * `wellkeep.mount()`; either is let go of when it is removed, and with the last one every timer and listener goes.
 *
 * In reading order: `view` (pure: document -> what to say), `render` (text nodes and elements, never HTML strings),
 * `poll`, `mount`. Ages are reckoned by the server's clock alone: its `Age` header, plus the time that has passed
 * here since. Nothing is green unless the viewer vouched for it and it is younger than its own limit, and no day is
 * unless somebody watched through most of it.
 */
(function () {
  'use strict';

  // ---------------------------------------------------------------------------------------------------------- view

  /**
   * What a state is called, how it looks, and its place: the worst first.
   * @typedef {'good'|'warn'|'bad'|'info'|'muted'|'blocked'|'old'} Tone
   * @type {Map<string, {label: string, tone: Tone, rank: number}>}
   */
  const STATES = new Map([
    ['down', { label: 'ISSUE', tone: 'bad', rank: 0 }],
    ['unstable', { label: 'UNSTABLE', tone: 'bad', rank: 1 }],
    ['degraded', { label: 'DEGRADED', tone: 'warn', rank: 2 }],
    ['unknown', { label: 'UNKNOWN', tone: 'muted', rank: 3 }],
    ['starting', { label: 'STARTING', tone: 'info', rank: 4 }],
    ['blocked', { label: 'BLOCKED', tone: 'blocked', rank: 5 }],
    ['held', { label: 'HELD', tone: 'muted', rank: 6 }],
    ['stopped', { label: 'STOPPED', tone: 'muted', rank: 7 }],
    ['up', { label: 'OK', tone: 'good', rank: 8 }],
  ]);

  /** After so many seconds a document without its own `stale_after_s` is stale: three heartbeats of 5 s. */
  const STALE_AFTER_S = 15;

  /** With more services than this they can be searched. */
  const MANY_SERVICES = 12;

  /** A certificate is mentioned on the public page when it has at most so many days left. */
  const CERTIFICATE_DAYS = 30;

  /**
   * A moment to show as "4 s ago" or "for 3 h". `seconds` is null when the age cannot be told.
   * @typedef {{at: string, seconds: number|null, kind?: 'next'|'for'}} Moment
   * @typedef {'pass'|'fail'|'unknown'|null} Verdict
   * @typedef {{label: string, value: string|Moment}} Row
   * @typedef {{id: string, label: string, value: string, verdict: Verdict}} Fact
   * @typedef {{id: string, title: string, verdict: Verdict, reason: string|null, rows: Row[]}} Check
   * @typedef {{at: Moment, from: string, to: string, tone: Tone, reason: string|null}} Change
   * @typedef {{id: string, label: string, tone: Tone, words: (string|Moment)[]}} Care what is done about a service
   * @typedef {{key: string, name: string, group: string|null, state: string, ok: unknown, label: string,
   *   tone: Tone, primary: boolean, reason: string|null, cares: Care[], facts: Fact[], checked: Moment|null,
   *   since: Moment|null, uptime: Figure[], days: Days|null, latency: Latency|null, timeline: Step[], rows: Row[],
   *   checks: Check[], history: Change[]}} Card
   * @typedef {{title: string|null, cards: Card[]}} Section
   * @typedef {{words: string, state: string}} Filter
   * @typedef {{label: string, value: string, note: string|null}} Figure uptime in one window
   * @typedef {{tone: Tone|'none', text: string}} Bar one day
   * @typedef {{bars: Bar[], text: string, short: string}} Days the last 90; `text` says the same, and `short` the gist
   * @typedef {{points: (number|null)[], least: number, most: number, label: string, text: string}} Latency by the hour, by the look
   * @typedef {{at: Moment, tone: Tone, words: string}} Step of an incident
   * @typedef {{id: string, name: string, tone: Tone, open: boolean, began: Moment, cause: string|null, rows: Row[]}} Past
   * @typedef {{tone: Tone, label: string, headline: string, text: string}} Words
   * @typedef {Words & {updated: Moment|null, answered: Moment|null, host: string|null, live: boolean,
   *   counts: {label: string, tone: Tone, count: number}[]}} Banner
   * @typedef {{fresh: boolean, kind: string, wrong: boolean, now: number|null, banner: Banner,
   *   notices: {id: string, tone: Tone, title: string, text: string}[], cards: Card[], sections: Section[],
   *   filter: (Filter & {shown: number, total: number})|null, incidents: Past[]|null,
   *   panels: {id: string, title: string, rows: Row[]}[], title: string, spoken: string}} View
   */

  /**
   * What there is to say. Pure: no clock, no DOM.
   * @param {unknown} document the answer of `/api/status`; null while there is none
   * @param {number|null} age its age in seconds now, by the server's clock; null when that cannot be told
   * @param {{services?: string[], admin?: boolean, title?: string, lost?: string|null,
   *   answeredAge?: number|null, filter?: Filter, past?: Map<string, object>, latencies?: Map<string, (number|null)[]>,
   *   incidents?: unknown, near?: Set<string>}} [options]
   *   `lost`: why the viewer cannot be asked at the moment; `answeredAge`: how old the document was when it came;
   *   `past`: what `/api/history/KEY` said, by key; `incidents`: what `/api/incidents` said; null where it is not known;
   *   `near`: the keys of the cards on the screen or near it, which alone have all details when there are many
   * @returns {View}
   */
  function view(document, age, options = {}) {
    const { services = [], admin = false, title = '', lost = null, answeredAge = null } = options;
    const { filter = NO_FILTER, past = new Map(), latencies = new Map(), incidents = null, near = new Set() } = options;
    const source = record(document);
    const kind = freshness(document, age, lost);
    const fresh = kind === 'fresh' || kind === 'live';
    const generated = instant(source.generated_at);
    const now = generated === null || age === null || kind === 'future' ? null : generated + age * 1000;
    const at = (time) => moment(new Date(time).toISOString(), now);

    // Without a document nobody knows who exists.
    const named = source.services ? pick(record(source.services), services) : [];
    const cards = named
      .map(([key, service]) => brief(key, record(service), { fresh, now }))
      .sort((a, b) => rank(a.state) - rank(b.state) || b.primary - a.primary);
    const can = cards.length > MANY_SERVICES;
    const all = new Map(named);
    const detailed = ({ key, ...one }) =>
      card({ key, ...one }, record(all.get(key)), { now, admin, past: past.get(key), latencies: latencies.get(key) });
    const found = can ? cards.filter((one) => matches(one, filter)) : cards;
    const isNear = ({ key }, place) => found.length <= MANY_CARDS || place < FIRST_CARDS || near.has(key);
    const shown = found.map((one, place) => (isNear(one, place) ? detailed(one) : one));
    const issues = fresh ? cards.filter(isIssue) : [];
    const words = fresh ? verdict(cards, source) : distrust(kind, source, lost, admin);
    const host = text(record(source.host).name);
    return {
      fresh,
      kind,
      wrong: !fresh || cards.some(needsAttention),
      now,
      banner: {
        ...words,
        updated: generated === null ? null : at(generated),
        answered: kind === 'lost' && now !== null ? at(generated + answeredAge * 1000) : null,
        host: host !== null && title.includes(host) ? null : host,
        live: isLive(source),
        counts: fresh ? counts(cards) : [],
      },
      notices: notices(kind, source, admin),
      cards: shown,
      sections: can ? sections(shown, groupsOf(named), fresh) : [{ title: null, cards: shown }],
      filter: can ? { ...filter, shown: shown.length, total: cards.length } : null,
      incidents: incidents === null ? null : recent(record(incidents).incidents, named, { now, admin }),
      panels: admin ? panels(source, now) : [],
      title: tabTitle(words, issues.length, title),
      spoken: issues.slice(0, 3).map((one) => `${one.name}: ${one.label}.`).join(' '),
    };
  }

  /**
   * How far the document can be believed: the viewer's word (`fresh`, `live`, `stale`, `earlier_boot`, `stopped`,
   * `future`, `none`), or what only the browser can know: `loading`, `lost`, `waiting` (it was fresh when it came,
   * and has grown too old here since), `undated`.
   */
  function freshness(document, age, lost) {
    const source = record(document);
    const said = text(record(source.viewer).data);
    if (lost !== null) return 'lost';
    if (document === null || document === undefined) return 'loading';
    if (said !== null && said !== 'fresh' && said !== 'live') return said;
    if (record(source.monitor).state === 'stopped') return 'stopped';
    if (source.stale === true) return 'stale';
    if (age === null) return 'undated';
    // A bare status.json from some other server carries no verdict: its age decides.
    const limit = number(source.stale_after_s) ?? STALE_AFTER_S;
    return age <= limit ? (said ?? 'fresh') : source.stale === false ? 'waiting' : 'stale';
  }

  /** The services to show with their keys; one that was asked for and does not exist is shown as such. */
  function pick(services, wanted) {
    if (wanted.length === 0) return Object.entries(services);
    const missing = { state: 'unknown', reason: 'There is no service with this key in monitor.yml.' };
    return [...new Set(wanted)].map((key) => [key, Object.hasOwn(services, key) ? services[key] : missing]);
  }

  // ----- which cards, and in what order

  const NO_FILTER = Object.freeze({ words: '', state: '' });

  /** Whether a card has every word of the search, and the state. */
  function matches(one, { words, state }) {
    if (state === ATTENTION ? !needsAttention(one) : state !== '' && one.state !== state) return false;
    if (words === '') return true;
    const said = [one.name, one.key, one.group, one.label, one.reason].join('\n').toLowerCase();
    return words.toLowerCase().split(/\s+/).every((word) => said.includes(word));
  }

  /** Beside the states themselves: all that are not as they should be. */
  const ATTENTION = 'attention';

  function needsAttention(one) {
    return !['up', 'stopped', 'held'].includes(one.state);
  }

  /** The groups in the order of the configuration. */
  function groupsOf(named) {
    return [...new Set(named.map(([, service]) => text(record(service).group)))];
  }

  /** Trouble stands above everything; the rest stands by group. A few cards are seen at a glance, and have their group on
   * them instead; what is one section needs no heading either. @returns {Section[]} */
  function sections(cards, groups, fresh) {
    if (groups.every((group) => group === null)) return [{ title: null, cards }];
    const trouble = { title: fresh ? 'Needs attention' : 'Needed attention', cards: cards.filter(needsAttention) };
    const rest = cards.filter((one) => !needsAttention(one));
    const named = groups.filter((group) => group !== null);
    const others = { title: 'Other services', cards: rest.filter((one) => one.group === null) };
    const grouped = named.map((group) => ({ title: group, cards: rest.filter((one) => one.group === group) }));
    const found = [trouble, ...grouped, others].filter((section) => section.cards.length > 0);
    return found.length > 1 ? found : [{ title: null, cards }];
  }

  /** "#q=web&state=down" -> what to look for; null where an address's hash is about something else. @returns {Filter|null} */
  function filterOf(hash) {
    const said = new URLSearchParams(hash.replace(/^#/, ''));
    if (hash.length > 1 && !said.has('q') && !said.has('state')) return null;
    const state = said.get('state') ?? '';
    return { words: (said.get('q') ?? '').trim(), state: state === ATTENTION || STATES.has(state) ? state : '' };
  }

  /** The same backwards; empty when nothing is looked for. */
  function hashOf({ words, state }) {
    const said = new URLSearchParams();
    if (words !== '') said.set('q', words);
    if (state !== '') said.set('state', state);
    return said.size === 0 ? '' : `#${said}`;
  }

  /** With more cards than this, those off the screen are brief, and are not laid out. */
  const MANY_CARDS = 60;
  /** But for the first ones: where the screen is, is known only after it was drawn. */
  const FIRST_CARDS = 24;

  /** A card without its figures: what is wrong and what is done about it. @returns {Card} */
  function brief(key, service, { fresh, now }) {
    const state = stateOf(service);
    const { label, tone } = STATES.get(state) ?? { label: state.toUpperCase(), tone: 'muted' };
    return {
      key,
      name: text(service.name) ?? key,
      group: text(service.group),
      state,
      ok: service.ok,
      label: fresh ? label : `was ${label}`,
      tone: fresh ? tone : 'old',
      primary: service.primary === true,
      reason: reasonLines(text(service.reason)),
      cares: cares(service, fresh, now),
      checked: moment(service.last_checked, now),
      since: moment(service.since, now),
      ...NO_DETAILS,
    };
  }

  const NO_DETAILS = { facts: [], uptime: [], days: null, latency: null, timeline: [], rows: [], checks: [], history: [] };

  /** The same with everything. @returns {Card} */
  function card(one, service, { now, admin, past, latencies }) {
    // Over old data nothing has a colour, what was good least of all.
    const aged = (step) => (one.tone === 'old' ? { ...step, tone: 'old' } : step);
    return {
      ...one,
      facts: facts(service),
      uptime: uptime(record(service.uptime)),
      days: days(record(past).days),
      latency: latency(record(record(past).latency), latencies ?? []),
      timeline: timeline(record(service.incident), now).map(aged),
      rows: admin ? [...serviceRows(one, service, now), ...failureRows(record(record(past).failures))] : [],
      checks: admin ? checks(service, now) : [],
      history: admin ? history(service, now).map(aged) : [],
    };
  }

  /** The state; a document with the flag alone has only two. */
  function stateOf(service) {
    return text(service.state) ?? (service.ok === true ? 'up' : service.ok === false ? 'down' : 'unknown');
  }

  /** A state that this script does not know stands with those that cannot be told. */
  function rank(state) {
    return (STATES.get(state) ?? { rank: 3 }).rank;
  }

  function isIssue(one) {
    return one.state === 'down' || one.state === 'unstable' || one.state === 'blocked';
  }

  /** "http: refused; port: refused" as one line for each check, under the names that the card gives them. */
  function reasonLines(reason) {
    const part = /(^|; )(http|port|systemd|process): /g;
    return reason?.replace(part, (_, before, id) => `${before && '\n'}${KINDS[id].label}: `) ?? null;
  }

  // ----- what is done about a service

  /** What a person must know beside the state: the hold, the next step of healing, the open incident. @returns {Care[]} */
  function cares(service, fresh, now) {
    const found = [
      holdCare(record(service.hold), now),
      // Over old data nobody knows whether anything is still being done.
      fresh ? healingCare(record(service.heal), text(service.reason), now) : null,
      incidentCare(record(service.incident), text(service.reason), now),
    ];
    return found.filter((one) => one !== null);
  }

  /** "until 10:00 UTC (in 12 min), asked for by ada: deploy" */
  function holdCare(hold, now) {
    const until = upcoming(hold.until, now);
    if (until === null) return null;
    const by = text(hold.by);
    const words = [`until ${clock(until.at, now)}`];
    if (now !== null) words.push(' (', until, ')');
    words.push((by === null ? '' : `, asked for by ${by}`) + colon(text(hold.reason)));
    return { id: 'hold', label: 'On hold', tone: 'muted', words };
  }

  /** What healing does now, or will do, or why it does nothing; null while there is nothing to do. What the service's
   * reason says already is not said again. */
  function healingCare(heal, reason, now) {
    const care = (tone, ...words) => ({
      id: 'heal',
      label: heal.mode === 'observe' ? 'Would heal' : 'Healing',
      tone,
      words: words.filter((one) => one !== null && one !== ''),
    });
    const step = text(record(heal.last).step) ?? 'restart';
    if (heal.phase === 'looking')
      return care('info', `looking again before ${stepWord(text(heal.next) ?? 'restart', 'ing')}`);
    if (heal.phase === 'acting') return care('info', `${stepWord(step, 'ing')} now`);
    const at = upcoming(heal.next_at, now);
    if (heal.phase === 'verifying') return care('info', `${stepWord(step, 'ed')}, being verified`, at && ': decided ', at);
    if (heal.phase !== 'waiting') return null;

    const [next, why] = [text(heal.next), text(heal.why_not)];
    if (next === null) {
      // Only what is going to be done is counted down to, and not that the same is looked at again.
      return why === null ? null : care('warn', reason?.includes(why) ? 'not healed' : `not healed: ${why}`);
    }
    const [used, budget] = [number(heal.heals_within_an_hour), number(heal.budget)];
    if (used === null || budget === null) return care('info', next, at && ' ', at, colon(why));
    if (used < budget) return care('info', `${next} ${used + 1} of ${budget}`, at && ' ', at, colon(why));
    return care('warn', `needs you: ${plural(budget, 'heal')} within an hour ${are(budget)} used up; ${next} as a trial`, at && ' ', at);
  }

  /** "restart" and "ing" -> "restarting"; a program is named as it is. */
  function stepWord(step, ending) {
    if (/^(re)?(start|load)$/.test(step)) return `${step}${ending}`;
    const program = /^run (.+)$/.exec(step)?.[1];
    if (program === undefined) return ending === 'ing' ? step : `${step} done`;
    return ending === 'ing' ? `running ${program}` : `${program} was run`;
  }

  /** "for 4 min: connection refused · 2 heals"; without the cause while that still is the service's reason. */
  function incidentCare(incident, reason, now) {
    const began = moment(incident.began, now);
    if (began === null || text(incident.ended) !== null) return null;
    const made = Array.isArray(incident.heals) ? incident.heals : [];
    const heals = made.filter((heal) => record(heal).result !== 'observed').length;
    const cause = text(incident.cause)?.replace(/ \(failure \d+ of \d+\)/g, '') ?? null;
    const more = (cause !== null && reason?.includes(cause) ? '' : colon(cause)) + (heals > 0 ? ` · ${plural(heals, 'heal')}` : '');
    return { id: 'incident', label: 'Incident', tone: 'bad', words: [{ ...began, kind: 'for' }, more] };
  }

  // ----- what the banner says

  /** The banner over data that can be believed: the worst that there is. @returns {Words} */
  function verdict(cards, source) {
    const total = cards.length;
    const say = (state, headline, words = '') => {
      const { label, tone } = STATES.get(state);
      return { tone, label, headline, text: words };
    };
    if (total === 0) {
      const path = text(record(record(source.monitor).config).path) ?? '/etc/wellkeep/monitor.yml';
      const words = `Edit ${path}, then reload the monitor.`;
      return { tone: 'muted', label: 'EMPTY', headline: 'No services configured', text: words };
    }
    const issues = cards.filter(isIssue);
    if (issues.length > 0) return issueVerdict(cards, issues);

    const inState = (...states) => cards.filter((one) => states.includes(one.state)).length;
    const [up, degraded, starting] = [inState('up'), inState('degraded'), inState('starting')];
    const resting = inState('stopped', 'held');
    const unclear = total - up - degraded - starting - resting;
    const some = (count, words, isIn) => {
      const main = cards.filter((one) => one.primary && isIn(one.state));
      if (main.length === 1) return mainService(words, main[0]);
      return total === 1 ? `${cards[0].name} is ${words}` : `${count} of ${total} services ${are(count)} ${words}`;
    };
    const known = ['up', 'degraded', 'starting', 'stopped', 'held'];
    if (degraded > 0) return say('degraded', some(degraded, 'degraded', (state) => state === 'degraded'));
    if (unclear > 0) {
      const why = 'Not looked yet, or the checks cannot tell.';
      return say('unknown', some(unclear, 'not known', (state) => !known.includes(state)), why);
    }
    if (starting > 0) return say('starting', some(starting, 'starting', (state) => state === 'starting'));
    if (resting === 0)
      return say('up', total === 1 ? `${cards[0].name} is well` : `All ${total} services are well`);
    const rest = restWords(cards.filter((one) => one.state === 'stopped' || one.state === 'held'));
    if (up === 0) return say('stopped', 'No service is running', rest);
    const main = cards.find((one) => one.primary && one.state !== 'up');
    if (main !== undefined) return say('stopped', mainService(main.state === 'held' ? 'on hold' : 'stopped', main), rest);
    const running = up === 1 ? 'The running service is well' : `All ${up} running services are well`;
    // Green says that nothing is missed: systemd cannot tell who stopped a unit, nor whether that was meant.
    return say(cards.some((one) => one.ok === false) ? 'stopped' : 'up', running, rest);
  }

  /** What a main service does is the headline. "Main service down: Checkout" */
  function mainService(words, { name }) {
    return `Main service ${words}: ${name}`;
  }

  /** "1 is stopped: Mail." */
  function restWords(cards) {
    const states = new Set(cards.map((one) => one.state));
    const state = states.size > 1 ? 'stopped or on hold' : states.has('held') ? 'on hold' : 'stopped';
    return `${cards.length} ${are(cards.length)} ${state}: ${sequence(cards.map((one) => one.name))}.`;
  }

  /**
   * The banner when something is down. Primary services drive words and colour: while every one of them is well, the
   * colour is that of a part. @returns {Words}
   */
  function issueVerdict(cards, issues) {
    const say = (tone, headline, ...words) => ({ tone, label: 'ISSUE', headline, text: words.join(' ') });
    const have = (count, all) => `${count} of ${all} ${count === 1 ? 'has' : 'have'} an issue`;
    const total = cards.length;
    const names = `${sequence(issues.map((one) => `${one.name} is ${one.state}`))}.`;
    const primaries = cards.filter((one) => one.primary);
    const main = issues.filter((one) => one.primary);
    if (main.length > 0) {
      const others = issues.length - main.length;
      const headline =
        main.length === 1
          ? mainService(main[0].state, main[0])
          : have(main.length, `${primaries.length} main services`);
      if (others === 0) return say('bad', headline);
      if (others === total - main.length) return say('bad', headline, others === 1 ? 'The other service has an issue too.' : 'All others have an issue too.');
      return say('bad', headline, `${have(others, `the other ${plural(total - main.length, 'service')}`)} too.`);
    }
    if (total === 1) return say('bad', `${issues[0].name} is ${issues[0].state}`);
    const headline = have(issues.length, `${total} services`);
    if (primaries.length === 0 || primaries.some((one) => one.state !== 'up'))
      return say('bad', headline, names);
    const well = sequence(primaries.map((one) => one.name));
    const [noun, verb] = primaries.length === 1 ? ['service', 'is'] : ['services', 'are'];
    return say('warn', headline, names, `The main ${noun}, ${well}, ${verb} well.`);
  }

  /**
   * The banner over data that cannot be believed. No figure that moves: a screen reader would read it each second.
   * @returns {Words}
   */
  function distrust(kind, source, lost, admin) {
    const why = sentence(text(record(source.viewer).reason));
    const below = 'Below is what was last known.';
    const look = admin && !isLive(source) ? 'On the host: systemctl status wellkeep-monitor.' : '';
    const old = (headline, ...words) => ['OLD DATA', headline, ...words, below];
    const ageless = old('The age of the data cannot be told', why);
    const said = {
      __proto__: null, // `kind` may be any word of a later viewer
      loading: ['', 'Asking for the status'],
      waiting: old('The data is late', 'Asking again.'),
      stale: old(isLive(source) ? 'The last look is old' : 'The monitor has stopped reporting', why, look),
      lost: ['NO CONNECTION', 'No connection to Wellkeep', sentence(lost), source.services ? below : ''],
      none: ['NO DATA', 'There is no data', why || 'No monitor has written a status here.', look],
      stopped: old('The monitor was stopped', why, 'Nobody is watching.', look),
      earlier_boot: old('The data is from before the last reboot', why, 'The monitor has not started since.', look),
      future: ageless,
      undated: ageless,
    };
    const [label, headline, ...words] = said[kind] ?? said.stale;
    const tone = kind === 'loading' ? 'muted' : 'old';
    return { tone, label, headline, text: words.filter((one) => one !== '').join(' ') };
  }

  function counts(cards) {
    const found = new Map();
    for (const { state, label, tone } of cards) {
      const count = (found.get(state)?.count ?? 0) + 1;
      found.set(state, { label, tone, count });
    }
    return [...found.values()];
  }

  /** Whether the viewer looked for itself, as there is no monitor. */
  function isLive(source) {
    return source.mode === 'live_checks' || record(source.viewer).data === 'live';
  }

  function notices(kind, source, admin) {
    const found = [];
    if (isLive(source)) {
      const when = kind === 'live' || kind === 'fresh' ? 'just now, once' : 'once';
      const words =
        `No monitor is running, so the services were looked at ${when}. ` +
        'A single failure shows as an issue, and nothing is restarted.';
      found.push({ id: 'live', tone: 'info', title: 'Live checks', text: words });
    }
    const error = text(record(record(source.monitor).config).error);
    if (error !== null)
      found.push({ id: 'config', tone: 'warn', title: 'The new configuration is not in force', text: error });
    const later = text(record(record(source.monitor).config).needs_restart);
    if (admin && later !== null)
      found.push({ id: 'restart', tone: 'warn', title: 'Part of the configuration waits for a restart', text: later });
    const cannot = text(record(source.monitor).cannot_heal);
    if (admin && cannot !== null)
      found.push({ id: 'heal', tone: 'warn', title: 'Nothing can be healed on this machine', text: cannot });
    return found;
  }

  /** The tab's title: what is wrong comes first, because tabs are narrow. */
  function tabTitle({ tone, label }, issues, base) {
    if (issues > 0) return `(${issues}) ISSUE · ${base}`;
    return tone === 'good' || label === '' ? base : `${label} · ${base}`;
  }

  // ----- what a check read

  /**
   * The kinds of checks, by their name in the document: what the card calls one and says of it in a line, and every
   * detail for the admin page.
   * @type {Object<string, {label: string, title: string, value: (check: object, verdict: Verdict) => string,
   *   rows: (check: object, now: number|null) => [string, string|Moment|null][]}>}
   */
  const KINDS = {
    http: {
      label: 'HTTP',
      title: 'HTTP',
      value: (http, verdict) =>
        joined(text(http.status_code), milliseconds(http.latency_ms)) ||
        (verdict === 'unknown' ? 'unknown' : 'no answer'),
      rows: (http) => [
        ['URL', text(http.url)],
        ['Status', text(http.status_code)],
        ['Latency', milliseconds(http.latency_ms)],
        ['Certificate', daysLeft(http)],
        ['Valid until', text(http.certificate?.not_after) && shortTime(http.certificate.not_after)],
      ],
    },
    port: {
      label: 'Port',
      title: 'Port',
      value: (port, verdict) =>
        joined(address(port), { pass: 'open', fail: 'no connection', unknown: 'unknown' }[verdict]),
      rows: (port) => [
        ['Host', text(port.host)],
        ['Port', text(port.port)],
        ['Socket', text(port.path)],
        ['Latency', milliseconds(port.latency_ms)],
      ],
    },
    systemd: {
      label: 'Unit',
      title: 'systemd unit',
      value: (unit) => {
        const load = text(unit.load_state);
        const state = load === null || load === 'loaded' ? activeState(unit) : load;
        return joined(state, unit.restarts > 0 && plural(unit.restarts, 'restart'));
      },
      rows: (unit, now) => [
        ['Unit', text(unit.unit)],
        ['Active', activeState(unit)],
        ['Loaded', text(unit.load_state)],
        ['At boot', text(unit.unit_file_state)],
        ['Last result', text(unit.result)],
        ['Restarts', text(unit.restarts)],
        ['Main process', text(unit.main_pid)],
        ['Memory', bytes(unit.memory_bytes)],
        ['Last change', moment(unit.since, now)],
      ],
    },
    process: {
      label: 'Processes',
      title: 'Processes',
      value: (process, verdict) => {
        const [count, min, max] = [process.count, process.min, process.max].map(number);
        if (count === null) return 'unknown';
        if (verdict === 'fail' && min !== null && count < min) return `${count} running, ${min} needed`;
        if (verdict === 'fail' && max !== null && count > max) return `${count} running, ${max} allowed`;
        return `${count} running`;
      },
      rows: (process) => [
        ['Running', text(process.count)],
        ['At least', text(process.min)],
        ['At most', text(process.max)],
        ['Memory', bytes(process.memory_bytes)],
        ['Oldest runs', duration(number(process.oldest_s))],
        ['Youngest runs', duration(number(process.youngest_s))],
        ['Process ids', Array.isArray(process.pids) ? process.pids.map(String).join(', ') : null],
      ],
    },
  };

  /** The checks that a service has, with what is known of their kind. */
  function checksOf(service) {
    return Object.entries(KINDS)
      .filter(([id]) => service[id])
      .map(([id, kind]) => ({ id, kind, check: record(service[id]) }));
  }

  /** The figures on a card. @returns {Fact[]} */
  function facts(service) {
    return checksOf(service).flatMap(({ id, kind, check }) => {
      const verdict = verdictOf(check);
      const fact = { id, label: kind.label, value: kind.value(check, verdict), verdict };
      const days = number(check.certificate?.days_left);
      if (days === null || days > CERTIFICATE_DAYS) return [fact];
      return [fact, { id: 'certificate', label: 'Certificate', value: daysLeft(check), verdict: null }];
    });
  }

  /** Every detail of every check, for the admin page. @returns {Check[]} */
  function checks(service, now) {
    return checksOf(service).map(({ id, kind, check }) => {
      const severity = ['Severity', check.severity === 'warning' && 'warning: never more than degraded'];
      const details = rows(...kind.rows(check, now), severity);
      return { id, title: kind.title, verdict: verdictOf(check), reason: text(check.reason), rows: details };
    });
  }

  /** @returns {Verdict} */
  function verdictOf(check) {
    if (['pass', 'fail', 'unknown'].includes(check.outcome)) return check.outcome;
    return check.ok === true ? 'pass' : check.ok === false ? 'fail' : null;
  }

  /** The address without what goes without saying: this machine. */
  function address(port) {
    const [host, at] = [text(port.host), text(port.port)];
    if (at === null) return text(port.path);
    if (host === null || ['127.0.0.1', 'localhost', '::1'].includes(host)) return at;
    return `${host.includes(':') ? `[${host}]` : host}:${at}`;
  }

  function activeState(unit) {
    const sub = text(unit.sub_state);
    return (text(unit.state) ?? 'unknown') + (sub === null ? '' : ` (${sub})`);
  }

  function daysLeft(http) {
    const days = number(http.certificate?.days_left);
    if (days === null) return null;
    return days < 0 ? `expired ${plural(-days, 'day')} ago` : `${plural(days, 'day')} left`;
  }

  // ----- what was

  const WINDOWS = [
    ['24h', '24 h'],
    ['7d', '7 d'],
    ['30d', '30 d'],
    ['90d', '90 d'],
  ];

  /** The share of the time that it was well. Of a window of which little is known, that is said. @returns {Figure[]} */
  function uptime(windows) {
    const found = WINDOWS.map(([id, label]) => {
      const { ratio, known } = record(windows[id]);
      if (number(ratio) === null) return { label, value: '–', note: 'not known' };
      const part = number(known) ?? 0;
      return { label, value: percent(ratio), note: part < 0.9 ? `${percent(part, 0)} known` : null };
    });
    return found.some(({ value }) => value !== '–') ? found : [];
  }

  /** Rounded down: what is not whole is never "100 %". */
  function percent(ratio, digits = 2) {
    const scale = 10 ** digits;
    // 0.29 * 100 is 28.999999999999996.
    const scaled = Math.floor(ratio * 100 * scale + 1e-6) / scale;
    return scaled === 0 && ratio > 0 ? `<${1 / scale} %` : `${scaled} %`;
  }

  /** A day with less than this share of it watched is shown as unknown, however well the rest was. */
  const KNOWN_DAY = 0.5;

  /** @returns {Days|null} */
  function days(known) {
    if (!Array.isArray(known) || known.length === 0) return null;
    const bars = known.slice(-90).map((day) => dayBar(record(day)));
    const count = (...tones) => bars.filter(({ tone }) => tones.includes(tone)).length;
    const bad = bars.filter(({ tone }) => tone === 'bad' || tone === 'warn').reverse();
    const said = [
      `${plural(count('good'), 'day')} without a failure`,
      `${bad.length} with`,
      count('muted') > 0 && `${count('muted')} on hold or stopped`,
      `${count('none')} unknown`,
    ];
    const short =
      bad.length > 0 ? `${plural(bad.length, 'day')} with failures` : count('good') > 0 ? 'no failure' : 'nothing known yet';
    const latest = bad.slice(0, 10).map(({ text }) => ` ${text}.`);
    return { bars, short, text: `The last ${plural(bars.length, 'day')}: ${said.filter(Boolean).join(', ')}.${latest.join('')}` };
  }

  /** @returns {Bar} */
  function dayBar(day) {
    const [ratio, known, rested] = [day.ratio, day.known, day.not_counted].map(number);
    const date = text(day.from)?.slice(0, 10) ?? '?';
    const said = (tone, ...words) => ({ tone, text: `${date}: ${words.filter(Boolean).join(', ')}` });
    const done = [day.restarts > 0 && plural(day.restarts, 'restart'), day.heals > 0 && plural(day.heals, 'heal')];
    const partly = known > 0 && known < 0.9 && `${percent(known, 0)} of the day known`;
    if (ratio !== null && ratio < 1) {
      const worst = ['down', 'unstable', 'blocked'].includes(day.worst) && text(day.worst);
      return said(ratio < 0.99 ? 'bad' : 'warn', `${percent(ratio)} up`, worst, ...done, partly);
    }
    if ((known ?? 0) < KNOWN_DAY && (rested ?? 0) >= KNOWN_DAY) return said('muted', 'on hold or stopped');
    if (ratio === null || (known ?? 0) + (rested ?? 0) < KNOWN_DAY) return said('none', 'not known', partly);
    return said('good', 'no failure', ...done, partly);
  }

  /** Fewer points than this make no line. */
  const FEWEST_POINTS = 3;
  /** So many looks of this page follow on the 24 hours, which must stay the larger part of the line. */
  const LOOKS_AFTER_HOURS = 12;

  /**
   * The last 24 hours, and then what this page has seen. A service that is not watched for so long yet has what this page
   * has seen alone.
   * @param {{hours_ms?: unknown, mean_ms?: unknown, max_ms?: unknown}} past by the hour, in ms; null where nothing was measured
   * @param {(number|null)[]} seen in ms, oldest first; null where there was no answer
   * @returns {Latency|null}
   */
  function latency(past, seen) {
    const hours = (Array.isArray(past.hours_ms) ? past.hours_ms : []).slice(-24).map(number);
    const answered = (points) => points.filter((one) => one !== null);
    const line = (points, label, words) => {
      const [least, most] = [Math.min(...answered(points)), Math.max(...answered(points))];
      return { points, least, most, label, text: words(least, most) };
    };
    if (answered(hours).length >= FEWEST_POINTS && number(past.mean_ms) !== null) {
      const slowest = (most) => milliseconds(Math.max(most, number(past.max_ms) ?? 0));
      const words = (_, most) => `${milliseconds(past.mean_ms)}, at most ${slowest(most)}`;
      return line([...hours, ...seen.slice(-LOOKS_AFTER_HOURS)], 'Latency, last 24 h:', words);
    }
    if (answered(seen).length < FEWEST_POINTS) return null;
    const range = (least, most) => (least === most ? milliseconds(least) : `${milliseconds(least)} to ${milliseconds(most)}`);
    return line(seen, 'Latency:', (least, most) => `${range(least, most)} in ${seen.length} checks seen`);
  }

  /** What a look at this service took, in ms, for the line above: at HTTP, else at the port. Only what passes says something. */
  function latencyOf(service) {
    const check = record(isObject(service.http) ? service.http : service.port);
    return verdictOf(check) === 'fail' ? null : number(check.latency_ms);
  }

  /** The open incident, oldest first. @returns {Step[]} */
  function timeline(incident, now) {
    const [began, detected] = [moment(incident.began, now), moment(incident.detected, now)];
    if (began === null || text(incident.ended) !== null) return [];
    const after = detected && duration(span(incident.began, incident.detected));
    const heals = list(incident.heals).map((heal) => {
      const [at, step] = [moment(heal.at, now), text(heal.step) ?? 'heal'];
      const tone = { healed: 'good', failed: 'bad' }[heal.result] ?? 'info';
      return at && { at, tone, words: `${step}: ${text(heal.result) === null ? 'not known yet' : healResult(heal.result)}` };
    });
    return [
      { at: began, tone: 'warn', words: reasonLines(text(incident.cause)) ?? 'it left up' },
      detected && { at: detected, tone: 'bad', words: `confirmed, ${after} after it began` },
      ...heals,
    ].filter(Boolean);
  }

  /** Incidents of these services, newest first. @returns {Past[]} */
  function recent(found, named, { now, admin }) {
    const names = new Map(named.map(([key, service]) => [key, text(record(service).name) ?? key]));
    const about = list(found).filter((one) => names.has(one.service) && moment(one.began, now) !== null);
    return about.slice(0, admin ? 50 : 10).map((one) => {
      const isOpen = text(one.ended) === null;
      const heals = list(one.heals).map((heal) => `${text(heal.step) ?? 'heal'}: ${healResult(heal.result)}`);
      return {
        id: text(one.id) ?? `${one.service} ${one.began}`,
        name: names.get(one.service),
        tone: isOpen ? 'bad' : 'muted',
        open: isOpen,
        began: moment(one.began, now),
        cause: reasonLines(text(one.cause)),
        rows: rows(
          ['Detected after', duration(number(one.time_to_detect_s))],
          isOpen ? ['Recovered', 'not yet'] : ['Recovered after', duration(number(one.time_to_recover_s))],
          // Without a cause the details are held back, what was done among them.
          ['Done', heals.length > 0 ? tally(heals) : text(one.cause) && (isOpen ? 'nothing so far' : 'nothing')],
          ['Outcome', text(one.outcome)],
          ['Evidence', admin && evidence(one)],
        ),
      };
    });
  }

  /** How to see what was saved before each heal. It may hold what is private, so that nobody but root and the group can
   * read it: the viewer cannot either. */
  function evidence(incident) {
    const [key, id] = [text(incident.service), text(incident.id)];
    // An id and a key are plain words, or this is no command to be copied.
    if (list(incident.heals).length === 0 || ![key, id].every((one) => /^[\w.-]+$/.test(one ?? ''))) return null;
    return `sudo wellkeep history ${key} --evidence ${id}`;
  }

  /** "restart: it did not help (3 times), restart: it helped" */
  function tally(words) {
    const runs = [];
    for (const word of words) {
      const last = runs.at(-1);
      if (last?.word === word) last.times += 1;
      else runs.push({ word, times: 1 });
    }
    return runs.map(({ word, times }) => (times === 1 ? word : `${word} (${times} times)`)).join(', ');
  }

  /** How often it failed, and how fast that was found and mended. @returns {Row[]} */
  function failureRows(failures) {
    const said = [['24h', 'Last 24 h'], ['7d', 'Last 7 d'], ['30d', 'Last 30 d']].map(([id, label]) => {
      const { incidents, more_before, restarts_an_hour, ...mean } = record(failures[id]);
      if (number(incidents) === null) return [label, null];
      const seconds = (value) => duration(number(value));
      const [detect, recover] = [seconds(mean.mean_time_to_detect_s), seconds(mean.mean_time_to_recover_s)];
      const words = joined(
        `${plural(incidents, 'incident')}${more_before === true ? ' or more' : ''}`,
        detect && `found in ${detect}`,
        recover && `mended in ${recover}`,
        restarts_an_hour > 0 && `${restarts_an_hour} restarts an hour`,
      );
      return [label, words];
    });
    return rows(...said);
  }

  // ----- what else the admin page shows

  /** Rows without a value are left out. @returns {Row[]} */
  function rows(...pairs) {
    return pairs.filter(([, value]) => value).map(([label, value]) => ({ label, value }));
  }

  function serviceRows({ key, tone }, service, now) {
    const fresh = tone !== 'old';
    const failures = number(service.consecutive_failures) ?? 0;
    const heal = record(service.heal);
    const last = record(heal.last);
    return rows(
      ['Key', key],
      ['State', stateOf(service)],
      ['Failures in a row', failures > 0 ? String(failures) : null],
      // Over old data nobody knows whether there will be one.
      ['Next check', fresh && upcoming(service.next_check, now)],
      ['Depends on', Array.isArray(service.depends_on) ? service.depends_on.map(String).join(', ') : null],
      ['Main service', service.primary === true ? 'yes' : null],
      ['Heals by', isObject(service.heal) && policy(heal)],
      ['Heals this hour', isObject(service.heal) && of(heal.heals_within_an_hour, heal.budget)],
      ['Last heal', text(last.step) && joined(text(last.step), healResult(last.result))],
      ['Healed last', moment(last.at, now)],
      ['Incident id', text(record(service.incident).id)],
      ['Evidence', evidence(record(service.incident))],
    );
  }

  /** "reload, restart", and that it only observes. */
  function policy(heal) {
    const steps = Array.isArray(heal.steps) ? heal.steps.map(String).join(', ') : null;
    return joined(steps, heal.mode === 'observe' && 'only observed');
  }

  function of(count, all) {
    return number(count) === null || number(all) === null ? null : `${count} of ${all}`;
  }

  function healResult(result) {
    const words = new Map([
      ['healed', 'it helped'],
      ['failed', 'it did not help'],
      ['cancelled', 'not done after all'],
      ['observed', 'only observed'],
      ['interrupted', 'cut off'],
    ]);
    return words.get(result) ?? text(result) ?? 'not known yet';
  }

  /** The newest first. @returns {Change[]} */
  function history(service, now) {
    const list = Array.isArray(service.history) ? service.history.map(record) : [];
    return list.reverse().map((change) => ({
      at: moment(change.at, now) ?? { at: '', seconds: null },
      from: text(change.from) ?? '?',
      to: text(change.to) ?? '?',
      tone: (STATES.get(change.to) ?? { tone: 'muted' }).tone,
      reason: text(change.reason),
    }));
  }

  function panels(source, now) {
    const host = record(source.host);
    const monitor = record(source.monitor);
    const config = record(monitor.config);
    const viewer = record(source.viewer);
    const load = Array.isArray(host.load) ? host.load.filter(Number.isFinite) : [];
    const [total, free] = [number(host.memory_total_bytes), number(host.memory_available_bytes)];
    const percent = Math.round((100 * free) / total);
    const memory = total && free !== null && `${bytes(free)} of ${bytes(total)} (${percent} %)`;
    const panel = (id, title, ...pairs) => ({ id, title, rows: rows(...pairs) });
    return [
      panel(
        'host',
        'Host',
        ['Name', text(host.name)],
        ['System', text(host.os)],
        ['Kernel', text(host.kernel)],
        ['Up for', duration(number(host.uptime_s))],
        ['CPUs', text(host.cpus)],
        ['Load average', load.map((one) => one.toFixed(2)).join(', ')],
        ['Memory free', memory],
      ),
      panel(
        'monitor',
        'Monitor',
        ['State', text(monitor.state)],
        ['Version', text(monitor.version)],
        ['Process id', text(monitor.pid)],
        ['Started', moment(monitor.started_at, now)],
        ['Configuration', text(config.path)],
        ['Loaded', moment(config.loaded_at, now)],
      ),
      panel(
        'data',
        'Data',
        ['Mode', text(source.mode)],
        ['Freshness', text(viewer.data)],
        ['Why', text(viewer.reason)],
        ['Written', moment(source.generated_at, now)],
        ['Written times', text(source.sequence)],
        ['Too old after', duration(number(source.stale_after_s))],
        ['Viewer version', text(viewer.version)],
      ),
    ].filter((panel) => panel.rows.length > 0);
  }

  // ----- words and figures

  /** Anything that is not an object is an empty one: a field may be missing, null or of another type. */
  function record(value) {
    return isObject(value) ? value : {};
  }

  function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  }

  /** The objects of a list; of anything else none. */
  function list(value) {
    return Array.isArray(value) ? value.filter(isObject) : [];
  }

  function number(value) {
    return typeof value === 'number' && Number.isFinite(value) ? value : null;
  }

  function text(value) {
    if (typeof value === 'string') return value === '' ? null : value;
    return number(value) === null ? null : String(value);
  }

  /** Milliseconds since 1970 of an RFC 3339 time. */
  function instant(value) {
    return typeof value === 'string' ? number(Date.parse(value)) : null;
  }

  /** @returns {Moment|null} */
  function moment(value, now) {
    const time = instant(value);
    if (time === null) return null;
    return { at: value, seconds: now === null ? null : (now - time) / 1000 };
  }

  /** Seconds from one time to another; null when one of them is none. */
  function span(from, to) {
    const [a, b] = [instant(from), instant(to)];
    return a === null || b === null ? null : (b - a) / 1000;
  }

  /** A moment that is still to come. @returns {Moment|null} */
  function upcoming(value, now) {
    const when = moment(value, now);
    return when && { ...when, kind: 'next' };
  }

  /** "10:00 UTC", with the date when it is another day's. */
  function clock(at, now) {
    const [day, time] = new Date(at).toISOString().split('T');
    const isToday = now !== null && new Date(now).toISOString().startsWith(day);
    return `${isToday ? '' : `${day} `}${time.slice(0, 5)} UTC`;
  }

  /** ": deploy" */
  function colon(words) {
    return words === null ? '' : `: ${words}`;
  }

  /** "4 s", "3 min 20 s", "12 d 4 h". */
  function duration(seconds) {
    if (seconds === null) return null;
    const units = Object.entries({ d: 86400, h: 3600, min: 60, s: 1 });
    let rest = Math.max(0, Math.floor(seconds));
    const first = units.findIndex(([, size]) => rest >= size);
    if (first === -1) return '0 s';
    const parts = [];
    for (const [name, size] of units.slice(first, first + 2)) {
      if (rest >= size) parts.push(`${Math.floor(rest / size)} ${name}`);
      rest %= size;
    }
    return parts.join(' ');
  }

  /** A moment in words. Without a known age the moment itself is said. */
  function phrase(kind, at, seconds) {
    if (seconds === null) return `${kind === 'for' ? 'since' : 'at'} ${shortTime(at)}`;
    if (kind === 'for') return `for ${duration(seconds)}`;
    if (kind === 'next') return seconds < 0 ? `in ${duration(Math.ceil(-seconds))}` : 'now';
    return seconds < 1 ? 'just now' : `${duration(seconds)} ago`;
  }

  function shortTime(at) {
    return at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');
  }

  function milliseconds(value) {
    const ms = number(value);
    if (ms === null) return null;
    if (ms < 1) return '<1 ms';
    return ms < 10000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
  }

  function bytes(value) {
    const size = number(value);
    if (size === null) return null;
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    const power = size < 1 ? 0 : Math.min(Math.floor(Math.log2(size) / 10), units.length - 1);
    const scaled = size / 1024 ** power;
    return `${scaled.toFixed(power === 0 || scaled >= 100 ? 0 : 1)} ${units[power]}`;
  }

  function joined(...parts) {
    return parts.filter(Boolean).join(' · ');
  }

  function plural(count, word) {
    return `${count} ${word}${count === 1 ? '' : 's'}`;
  }

  function are(count) {
    return count === 1 ? 'is' : 'are';
  }

  /** "a", "a and b", "a, b and c", "a, b, c and 4 more". */
  function sequence(names) {
    const shown = names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} more`] : names;
    return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
  }

  function sentence(words) {
    if (words === null) return '';
    const read = words.replace(/(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z/g, '$1 $2 UTC');
    // A path or a file's name at the start keeps its letters.
    const first = /^[a-z]+[ ,;:]/.test(read) ? read.charAt(0).toUpperCase() + read.slice(1) : read;
    return /[.!?]$/.test(first) ? first : `${first}.`;
  }

  // -------------------------------------------------------------------------------------------------------- render

  /**
   * An element or a text to be. What `reconcile` makes of it is the same node each time, so that focus, selection and
   * scroll position survive a refresh. `key` tells it from its siblings.
   * @typedef {{tag: string, key: string, attributes: Object<string, string>, children: Spec[], text?: string}} Spec
   */

  /**
   * `el('p.name', {title: 'x'}, child, ...)`. Children that are null, false or empty are left out and leave their place
   * free, so that those after them stay who they are; the members of a list have a `key` of their own instead.
   * @returns {Spec}
   */
  function el(name, attributes, ...children) {
    const [tag, ...classes] = name.split('.');
    const { key, ...rest } = attributes ?? {};
    if (classes.length > 0) rest.class = classes.map((one) => `wk-${one}`).join(' ');
    const spec = { tag, key: key === undefined ? undefined : `key ${key}`, attributes: rest, children: [] };
    children.forEach((child, place) => {
      if (!child) return;
      if (Array.isArray(child)) return void spec.children.push(...child);
      const one = typeof child === 'string' ? { tag: '#text', text: child } : child;
      one.key ??= `${one.tag} ${place}`;
      spec.children.push(one);
    });
    return spec;
  }

  /** The widget as specs. */
  function template(seen, admin) {
    return el(
      'div',
      null,
      bannerSpec(seen.banner, seen.spoken),
      seen.notices.map(({ id, tone, title, text }) =>
        el('p.notice', { key: id, 'data-wk-tone': tone }, el('strong', null, title), ' ', text),
      ),
      seen.filter && filterSpec(seen.filter),
      seen.cards.length > 0 &&
        el(
          admin ? 'ul.cards.cards-admin' : 'ul.cards',
          { role: 'list', 'aria-label': 'Services, the worst first' },
          seen.sections.flatMap((section) => sectionSpecs(section, admin)),
        ),
      seen.incidents && incidentsSpec(seen.incidents),
      seen.panels.length > 0 && el('div.panels', null, seen.panels.map(panelSpec)),
    ).children;
  }

  const SIGNS = { good: '✓', warn: '!', bad: '✕', info: '…', muted: '?', blocked: '✕', old: '!' };

  function bannerSpec(banner, spoken) {
    const { tone, label, headline, text, updated, answered, host, live, counts } = banner;
    const numbers = counts.map((one) =>
      el('li.count', { key: one.label, 'data-wk-tone': one.tone }, `${one.count} ${one.label}`),
    );
    return el(
      'section.banner',
      { 'data-wk-tone': tone, 'aria-label': 'Overall state' },
      el('span.sign', { 'aria-hidden': 'true' }, label === '' ? '…' : SIGNS[tone]),
      el(
        'div.said',
        null,
        tone === 'old' && el('p.kicker', null, label),
        el(
          'div',
          { role: 'status', 'aria-live': 'polite', 'aria-atomic': 'true' },
          el('h2.headline', null, headline),
          spoken && el('p.unseen', null, spoken),
        ),
        text && el('p.text', null, text),
        el(
          'p.meta',
          null,
          updated && el('span', null, 'Updated ', timeSpec(updated, 'ago')),
          answered && el('span', null, 'Last answer ', timeSpec(answered, 'ago')),
          host && el('span', null, host),
          live && el('span.chip', null, 'LIVE CHECKS'),
        ),
      ),
      counts.length > 1 && el('ul.counts', { role: 'list', 'aria-label': 'Services by state' }, numbers),
    );
  }

  /** Search and state. The words themselves are the reader's: they are set once and never written over. */
  function filterSpec({ words, state, shown, total }) {
    const option = (value, label) => el('option', { key: value, value, ...(value === state && { selected: '' }) }, label);
    const found = shown === 0 ? 'No service matches.' : shown < total ? `${shown} of ${total} services` : '';
    return el(
      'div.filter',
      { role: 'search', 'aria-label': 'Services' },
      el(
        'label.find',
        null,
        'Find',
        el('input', { type: 'search', value: words, placeholder: 'name, key, group', autocomplete: 'off', 'aria-keyshortcuts': '/' }),
      ),
      el(
        'label.find',
        null,
        'State',
        el('select', null, [
          option('', 'all'),
          option(ATTENTION, 'needs attention'),
          ...[...STATES.keys()].map((one) => option(one, one)),
        ]),
      ),
      el('p.found', { role: 'status' }, found),
    );
  }

  function sectionSpecs({ title, cards }, admin) {
    const specs = cards.map((one) => cardSpec(one, admin, title));
    // One list whatever the groups: a card that gets well moves within it, and stays the node that it was.
    return title === null ? specs : [el('li.group-head', { key: `group ${title}` }, el('h3', null, title)), ...specs];
  }

  function incidentsSpec(incidents) {
    const items = incidents.map(({ id, name, tone, open, began, cause, rows }) =>
      el(
        'li.past',
        { key: id, 'data-wk-tone': tone },
        el(
          'div.head',
          null,
          el('h4.past-name', null, name),
          el('span.past-when', null, open ? 'open ' : 'began ', timeSpec(began, open ? 'for' : 'ago')),
        ),
        cause && el('p.past-cause', null, cause),
        rowsSpec('dl.rows', rows),
      ),
    );
    return el(
      'section.incidents',
      { 'aria-label': 'Recent incidents' },
      el('h3.section-title', null, 'Recent incidents'),
      items.length === 0 ? el('p.text', null, 'None is on record.') : el('ul.pasts', { role: 'list' }, items),
    );
  }

  function panelSpec({ id, title, rows }) {
    return el('section.panel', { key: id }, el('h3.panel-title', null, title), rowsSpec('dl.rows', rows));
  }

  function cardSpec(one, admin, section) {
    const group = one.group === section ? null : one.group;
    return el(
      'li.card',
      { key: one.key, 'data-wk-key': one.key, 'data-wk-state': one.state, 'data-wk-tone': one.tone },
      el(
        'div.head',
        null,
        // Below the heading of its group, if there is one.
        el('div.names', null, group && el('p.group', null, group), el(section === null ? 'h3.name' : 'h4.name', null, one.name)),
        el('span.label', null, one.label),
      ),
      one.reason && el('p.reason', null, one.reason),
      one.cares.length > 0 && el('dl.cares', null, one.cares.map(careSpec)),
      one.timeline.length > 0 && timelineSpec(one.timeline, admin),
      !admin && one.facts.length > 0 && el('dl.facts', null, one.facts.map(factSpec)),
      one.rows.length > 0 && rowsSpec('dl.rows.line', one.rows),
      one.checks.length > 0 && el('div.detail', null, one.checks.map(checkSpec)),
      one.history.length > 0 && changesSpec(one.history),
      pastSpec(one),
      el(
        'p.foot',
        null,
        one.checked
          ? el('span', null, 'checked ', timeSpec(one.checked, 'ago'))
          : el('span', null, 'not checked yet'),
        // How long a state has lasted is known only while somebody watches.
        one.since && one.tone === 'old' && el('span', null, 'last change ', timeSpec(one.since, 'ago')),
        one.since && one.tone !== 'old' && el('span', null, `${one.label} `, timeSpec(one.since, 'for')),
      ),
    );
  }

  /** The open incident; on the public page it takes no place until somebody asks. */
  function timelineSpec(timeline, admin) {
    const steps = timeline.map(({ at, tone, words }) =>
      el('li.change', { key: `${at.at} ${words}`, 'data-wk-tone': tone }, el('span.when', null, timeSpec(at, 'ago')), el('span', null, words)),
    );
    const attributes = admin ? { open: '' } : {};
    return el('details.timeline', attributes, el('summary', null, 'What happened'), el('ol', { role: 'list' }, steps));
  }

  /** Uptime, the last 90 days, and how fast it answered. */
  function pastSpec({ uptime, days, latency }) {
    if (uptime.length === 0 && days === null && latency === null) return null;
    const figures = uptime.map(({ label, value, note }) =>
      el('div.figure', { key: label }, el('dt', null, label), el('dd', null, value, note && el('small', null, note))),
    );
    return el(
      'div.was',
      null,
      figures.length > 0 && el('dl.figures', { 'aria-label': 'Uptime' }, figures),
      days && daysSpec(days),
      latency && latencySpec(latency),
    );
  }

  /** Where in the drawing a day of some tone begins: what is worse stands higher, also without colour, and what nobody
   * watched is a mere stub. */
  const BAR_TOPS = { bad: 0, warn: 2, good: 6, muted: 14, none: 21 };
  const BAR_HEIGHT = 24;

  /** One path a tone rather than an element a day: a thousand cards have 90 each. */
  function daysSpec({ bars, text, short }) {
    const paths = new Map();
    bars.forEach(({ tone }, day) => {
      const top = BAR_TOPS[tone];
      paths.set(tone, `${paths.get(tone) ?? ''}M${4 * day} ${top}h3v${BAR_HEIGHT - top}h-3z`);
    });
    const drawing = [...paths].map(([tone, d]) => el('path', { key: tone, class: `wk-bar wk-bar-${tone}`, d }));
    const box = { viewBox: `0 0 ${4 * bars.length - 1} ${BAR_HEIGHT}`, preserveAspectRatio: 'none' };
    // The days are no elements, so nothing in here can take the focus from day to day. A slider is what screen readers
    // leave the arrow keys to.
    const slider = { role: 'slider', tabindex: '0', 'aria-label': text, 'aria-valuemin': '1', 'aria-valuemax': `${bars.length}` };
    const today = { 'aria-valuenow': `${bars.length}`, 'aria-valuetext': bars.at(-1).text };
    return el(
      'div.days',
      null,
      el('svg.bars', { ...box, ...slider, ...today, 'data-wk-days': JSON.stringify(bars.map((bar) => bar.text)) }, drawing),
      el('p.scale', { 'aria-hidden': 'true' }, el('span', null, `${bars.length} days ago`), el('span.day', { 'data-wk-text': short }, short), el('span', null, 'today')),
    );
  }

  const SPARK = { width: 120, height: 20 };

  function latencySpec({ points, least, most, label, text }) {
    const step = SPARK.width / (points.length - 1);
    const scale = most === least ? 0 : (SPARK.height - 4) / (most - least);
    const level = (value) => (scale === 0 ? SPARK.height / 2 : SPARK.height - 2 - (value - least) * scale);
    const isGap = (n) => (points[n] ?? null) === null;
    // Without an answer there is a gap, and the line begins anew after it; one point alone is a line of no length.
    const part = (value, n) =>
      `${isGap(n - 1) ? 'M' : 'L'}${(n * step).toFixed(1)} ${level(value).toFixed(1)}${isGap(n - 1) && isGap(n + 1) ? 'h0' : ''}`;
    const d = points.map((value, n) => (value === null ? '' : part(value, n))).join('');
    const box = { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' };
    return el('p.latency', null, el('span', null, label), el('span', null, text), el('svg.spark', box, el('path', { d })));
  }

  function careSpec({ id, label, tone, words }) {
    const said = words.map((one) => (typeof one === 'string' ? one : timeSpec(one, one.kind)));
    return el(
      'div.care',
      { key: id, 'data-wk-tone': tone },
      el('dt', null, label),
      el('dd', null, ...said),
    );
  }

  function factSpec({ id, label, value, verdict }) {
    return el(
      'div.fact',
      { key: id, ...verdictAttribute(verdict) },
      el('dt', null, label),
      el('dd', null, markSpec(verdict) ?? el('span.mark', null), el('span', null, value)),
    );
  }

  function checkSpec({ id, title, verdict, reason, rows }) {
    return el(
      'section.check',
      { key: id, ...verdictAttribute(verdict) },
      el('h4.check-title', null, markSpec(verdict), title),
      reason && el('p.check-reason', null, reason),
      rowsSpec('dl.rows', rows),
    );
  }

  function changesSpec(history) {
    const changes = history.map(({ at, from, to, tone, reason }) =>
      el(
        'li.change',
        { key: `${at.at} ${from} ${to}`, 'data-wk-tone': tone },
        el('span.when', null, timeSpec(at, 'ago')),
        el('span', null, `${from} → `, el('b', null, to), reason && `: ${reason}`),
      ),
    );
    return el(
      'section.check',
      null,
      el('h4.check-title', null, 'Latest changes'),
      el('ol.change-list', { role: 'list' }, changes),
    );
  }

  /** Colour never speaks alone: a mark for the eye, a word for the ear. */
  function markSpec(verdict) {
    if (verdict === null) return null;
    const marks = { pass: ['✓', 'passes: '], fail: ['✕', 'fails: '], unknown: ['?', 'cannot tell: '] };
    const [sign, word] = marks[verdict];
    return el('span.mark', null, el('span', { 'aria-hidden': 'true' }, sign), el('span.unseen', null, word));
  }

  function verdictAttribute(verdict) {
    return verdict === null ? {} : { 'data-wk-verdict': verdict };
  }

  function rowsSpec(name, list) {
    const rows = list.map(({ label, value }) => {
      const said = typeof value === 'string' ? value : timeSpec(value, value.kind ?? 'ago');
      return el('div.row', { key: label }, el('dt', null, label), el('dd', null, said));
    });
    return el(name, null, rows);
  }

  function timeSpec({ at, seconds }, kind) {
    const attributes = { datetime: at, title: shortTime(at), 'data-wk-time': kind };
    return el('time', attributes, phrase(kind, at, seconds));
  }

  /** The spec that a node was last made to look like. Nodes that are not here are not ours, and are left alone. */
  const made = new WeakMap();

  /** Makes the children of `parent` what `specs` say, touching only what differs. */
  function reconcile(parent, specs) {
    const known = new Map();
    for (const node of parent.childNodes) if (made.has(node)) known.set(made.get(node).key, node);
    // What goes away goes first, so that it is in nobody's way.
    const wanted = new Set(specs.map(({ key }) => key));
    for (const [key, node] of known) if (!wanted.has(key)) node.remove();
    let cursor = parent.firstChild;
    for (const spec of specs) {
      const node = known.get(spec.key) ?? create(spec, parent.ownerDocument);
      update(node, spec);
      // One that has moved away from here steps aside, instead of all that follow moving up.
      if (cursor !== null && cursor.nextSibling === node) {
        const moved = cursor;
        cursor = node;
        parent.removeChild(moved);
      }
      if (node === cursor) cursor = cursor.nextSibling;
      else parent.insertBefore(node, cursor);
    }
  }

  function create(spec, owner) {
    if (spec.tag === '#text') return owner.createTextNode('');
    if (spec.tag === 'svg' || spec.tag === 'path') return owner.createElementNS('http://www.w3.org/2000/svg', spec.tag);
    return owner.createElement(spec.tag);
  }

  function update(node, spec) {
    const before = made.get(node)?.attributes ?? {};
    made.set(node, spec);
    if (spec.tag === '#text') {
      // The node's own text and not the one before: ages move on between two specs.
      if (node.data !== spec.text) node.data = spec.text;
      return;
    }
    for (const [name, value] of Object.entries(spec.attributes))
      if (before[name] !== value) node.setAttribute(name, value);
    for (const name of Object.keys(before)) if (!(name in spec.attributes)) node.removeAttribute(name);
    reconcile(node, spec.children);
  }

  /** Draws what was seen into a widget's element. A node that had to move keeps the focus. */
  function render(element, seen, admin) {
    const owner = element.ownerDocument;
    const focused = owner.activeElement;
    element.classList.add('wk-root');
    element.classList.toggle('wk-many', seen.cards.length > MANY_CARDS);
    reconcile(element, template(seen, admin));
    if (focused !== owner.activeElement && element.contains(focused)) focused.focus({ preventScroll: true });
    for (const bars of element.querySelectorAll('.wk-bars[data-wk-day]')) sayDay(bars, Number(bars.dataset.wkDay));
  }

  /** Moves the ages on, without a new look at anything else. */
  function renderAges(element, now) {
    for (const time of element.querySelectorAll('time[data-wk-time]')) {
      const at = time.getAttribute('datetime');
      const words = phrase(time.dataset.wkTime, at, (now - Date.parse(at)) / 1000);
      if (time.firstChild !== null && time.firstChild.data !== words) time.firstChild.data = words;
    }
  }

  /** Says below the bars which day the pointer is on. */
  function sayDayAt(bars, x) {
    const { left, width } = bars.getBoundingClientRect();
    const count = Number(bars.getAttribute('aria-valuemax'));
    const day = Math.floor(((x - left) / width) * count) + 1;
    if (day >= 1 && day <= count) sayDay(bars, day);
  }

  /** The day that this key leads to; null if it is none of those. As in any slider. */
  function dayFrom(day, count, key) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -7, PageUp: 7, Home: -count, End: count };
    return Object.hasOwn(steps, key) ? Math.min(count, Math.max(1, day + steps[key])) : null;
  }

  /** Says a day below the bars, and marks it; without one, says what stands there usually. The first has the number 1. */
  function sayDay(bars, day = null) {
    const days = JSON.parse(bars.dataset.wkDays);
    const said = bars.parentNode.querySelector('.wk-day');
    const here = day ?? days.length;
    if (day === null) delete bars.dataset.wkDay;
    else bars.dataset.wkDay = day;
    bars.setAttribute('aria-valuenow', here);
    bars.setAttribute('aria-valuetext', days[here - 1]);
    bars.parentNode.style.setProperty('--wk-day', (here - 0.5) / days.length);
    // The node is kept, for the next refresh knows it.
    if (said?.firstChild) said.firstChild.data = day === null ? said.dataset.wkText : days[here - 1];
  }

  /** The tab's icon: a sign besides its colour. */
  const ICONS = {
    good: ['#15803d', '<path d="M9 17l5 5 9-11"/>'],
    warn: ['#b45309', '<path d="M16 8v10M16 23v.5"/>'],
    bad: ['#c62828', '<path d="M10 10l12 12M22 10L10 22"/>'],
    info: ['#1d5fc0', '<path d="M10 16h12"/>'],
    muted: ['#6b7280', '<path d="M10 16h12"/>'],
  };

  /** Title and icon of the tab. */
  function renderTab(owner, seen) {
    if (owner.title !== seen.title) owner.title = seen.title;
    const icon = owner.querySelector('link[rel~="icon"]');
    if (icon === null) return;
    const [colour, sign] = ICONS[seen.banner.tone] ?? ICONS.muted;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="${colour}"/><g fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round" stroke-linejoin="round">${sign}</g></svg>`;
    const href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    if (icon.getAttribute('href') !== href) icon.setAttribute('href', href);
  }

  // ---------------------------------------------------------------------------------------------------------- poll

  const REFRESH_S = 15;
  /** While something is wrong. */
  const REFRESH_WRONG_S = 5;
  /** So long before the data would turn stale it is asked for again. */
  const STALE_MARGIN_S = 3;
  const TIMEOUT_MS = 10000;
  /** After so many seconds the viewer is asked again when it did not answer; then twice as long, up to the last. */
  const BACKOFF_S = [1, 2, 4, 8, 15];

  /**
   * When to ask again, in seconds. Pure.
   * @param {{refresh: number, wrong: boolean, age: number|null, limit: number, failures: number}} now
   */
  function pause({ refresh, wrong, age, limit, failures }) {
    if (failures > 0) return BACKOFF_S[Math.min(failures, BACKOFF_S.length) - 1];
    const usual = wrong ? Math.min(REFRESH_WRONG_S, refresh) : refresh;
    const left = age === null ? usual : limit - STALE_MARGIN_S - age;
    // What is too old already does not get younger by asking more often.
    return left > 0 ? Math.max(1, Math.min(usual, left)) : usual;
  }

  /**
   * The age of an answer in seconds when it came, by the server's clock: its `Age`, or its `Date` less the time of
   * the document, whichever is more, since a 304 may leave the older of the two in the browser's cache. Null if it
   * tells neither.
   */
  function ageOf(headers, document) {
    const age = /^\d+$/.test(headers.get('age')?.trim() ?? '') ? Number(headers.get('age')) : null;
    const date = Date.parse(headers.get('date') ?? '');
    const generated = instant(record(document).generated_at);
    if (Number.isNaN(date) || generated === null) return age;
    return Math.max(age ?? 0, (date - generated) / 1000);
  }

  /**
   * The document in an answer, or an error for people. With 503 the viewer says that it has no data, in a document like
   * any other that also says why; a proxy's 503 has none.
   * @param {Response} answer
   */
  async function documentIn(answer) {
    const refusal = new Error(`it answered with status ${answer.status}`);
    if (!answer.ok && answer.status !== 503) throw refusal;
    const document = await answer.json().catch((error) => {
      throw answer.ok ? error : refusal;
    });
    if (isObject(record(document).services)) return document;
    throw answer.ok ? new Error('its answer is not a status document') : refusal;
  }

  /** One viewer that is asked for all widgets that show it. */
  class Source {
    /**
     * @param {string} there where the viewer is, with a slash at the end
     * @param {boolean} admin whether the details are asked for
     */
    constructor(there, admin) {
      this.there = there;
      this.query = admin ? '?details' : '';
      this.admin = admin;
      this.widgets = new Set();
      this.document = null;
      /** The document's age when it came, and when that was here. */
      this.age = null;
      this.received = null;
      this.failures = 0;
      this.lost = null;
      this.asking = false;
      this.due = 0;
      this.archive = new Archive(this);
      this.latencies = new Map();
      /** What is under way, to be called off when nobody wants it any more. */
      this.underWay = new Set();
      this.hasEnded = false;
      this.drawing = null;
    }

    /** The age by whichever clock says more: the monotonic one stands still in suspend. */
    ageNow() {
      if (this.age === null) return null;
      const { monotonic, wall } = this.received;
      return this.age + Math.max(0, performance.now() - monotonic, Date.now() - wall) / 1000;
    }

    /** Asks the viewer for something and reads it, within 10 s. */
    async fetch(path, read) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
      this.underWay.add(stop);
      try {
        // `no-cache` asks the viewer each time and lets the browser's cache answer a 304.
        const url = new URL(path + this.query, this.there);
        return await read(await fetch(url, { cache: 'no-cache', signal: stop.signal }));
      } catch (error) {
        throw stop.signal.aborted ? new Error('it did not answer within 10 s') : error;
      } finally {
        clearTimeout(timer);
        this.underWay.delete(stop);
      }
    }

    async ask() {
      if (this.asking || this.hasEnded) return;
      this.asking = true;
      try {
        await this.fetch('api/status', async (answer) => {
          const document = await documentIn(answer);
          // The viewer vouched for it without telling an age: then it is as old as it has been here, at least.
          this.age = ageOf(answer.headers, document) ?? (document.stale === false ? 0 : null);
          this.document = document;
        });
        this.received = { monotonic: performance.now(), wall: Date.now() };
        this.failures = 0;
        this.lost = null;
        remember(this.latencies, record(this.document.services));
      } catch (error) {
        this.failures += 1;
        this.lost = whyLost(error, this.there);
      }
      this.asking = false;
      if (this.hasEnded) return;
      this.plan(this.draw());
      guarded(() => this.archive.ask());
    }

    /** Draws everything anew. Returns whether something is wrong. */
    draw() {
      clearTimeout(this.drawing);
      this.drawing = null;
      return [...this.widgets].map((widget) => widget.draw()).includes(true);
    }

    /** Draws soon: several answers at once make one drawing. */
    drawSoon() {
      if (!this.hasEnded) this.drawing ??= setTimeout(() => this.draw(), DRAW_AFTER_MS);
    }

    /** Sets the time of the next question. */
    plan(wrong) {
      const refresh = Math.min(...[...this.widgets].map((widget) => widget.refresh));
      const limit = number(record(this.document).stale_after_s) ?? STALE_AFTER_S;
      const seconds = pause({ refresh, wrong, age: this.ageNow(), limit, failures: this.failures });
      // Ticks come once a second: half of one too early rather than a whole one too late.
      this.due = performance.now() + seconds * 1000 - 500;
    }

    /** Once a second while somebody looks. */
    tick() {
      for (const widget of this.widgets) widget.tick();
      if (performance.now() >= this.due) this.ask();
      this.archive.ask();
    }

    end() {
      this.hasEnded = true;
      clearTimeout(this.drawing);
      for (const stop of this.underWay) stop.abort();
    }
  }

  const DRAW_AFTER_MS = 50;

  /** So many looks make the line of latencies. */
  const LATENCIES_KEPT = 60;

  /**
   * Keeps what the checks took: one entry a look, however often the same document comes.
   * @param {Map<string, {at: unknown, points: (number|null)[]}>} latencies by key
   */
  function remember(latencies, services) {
    for (const [key, value] of Object.entries(services)) {
      const service = record(value);
      const before = latencies.get(key);
      if (text(service.last_checked) === null || before?.at === service.last_checked) continue;
      const points = [...(before?.points ?? []), latencyOf(service)].slice(-LATENCIES_KEPT);
      latencies.set(key, { at: service.last_checked, points });
    }
    for (const key of latencies.keys()) if (!Object.hasOwn(services, key)) latencies.delete(key);
  }

  /** A past that has not changed is asked for again after so many seconds, and one that has after so many. */
  const PAST_S = 300;
  const PAST_CHANGED_S = 15;
  const PAST_AT_ONCE = 3;

  /**
   * What was: the past of the services that somebody has on the screen, a few at a time, and the latest incidents. A
   * viewer that does not have it, or not for everybody, is not asked again.
   */
  class Archive {
    constructor(source) {
      this.source = source;
      /** When a service's past was asked for, and since when it was in its state then. */
      this.asked = new Map();
      this.past = new Map();
      this.incidents = null;
      this.running = 0;
      /** The addresses that the viewer does not have. */
      this.missing = new Set();
    }

    /** Asks for what is due. */
    ask() {
      const { document, lost, hasEnded, widgets } = this.source;
      if (document === null || lost !== null || hasEnded) return;
      // Who keeps the past tells of it in the document: an older monitor does not, nor live checks.
      const kept = Object.entries(record(document.services)).filter(([, one]) => isObject(record(one).uptime));
      if (kept.length === 0) return;
      const services = Object.fromEntries(kept);
      if ([...widgets].some((widget) => widget.page)) {
        // The latest change of any state, and what was done since: an incident that began and ended between two questions
        // leaves a mark as well.
        const changes = Object.values(services).map((one) => text(record(one).since) ?? '').sort();
        const heals = Object.values(services).flatMap((one) => list(record(record(one).incident).heals));
        const mark = `${changes.at(-1)} ${heals.map(({ result }) => text(result)).join(' ')}`;
        this.askOnce('api/incidents', mark, (answer) => {
          this.incidents = answer;
        });
      }
      for (const key of new Set([...widgets].flatMap((widget) => widget.visible()))) {
        if (this.running >= PAST_AT_ONCE) return;
        if (!Object.hasOwn(services, key)) continue;
        this.askOnce('api/history/', text(record(services[key]).since), (answer) => this.past.set(key, answer), key);
      }
    }

    /** Asks unless it was asked lately; sooner when `mark` is another one than then. */
    async askOnce(address, mark, take, key = '') {
      const path = address + encodeURIComponent(key);
      const before = this.asked.get(path);
      const age = before === undefined ? Infinity : (performance.now() - before.at) / 1000;
      if (this.missing.has(address) || age < (before?.mark === mark ? PAST_S : PAST_CHANGED_S)) return;
      this.asked.set(path, { at: performance.now(), mark });
      this.running += 1;
      try {
        await this.source.fetch(path, async (answer) => {
          if ([401, 403, 404].includes(answer.status)) this.missing.add(address);
          const said = answer.ok ? await answer.json() : null;
          if (isObject(said)) take(said);
        });
        this.source.drawSoon();
      } catch {
        // What was is no news. The next time comes by itself, and `ask` tells when the viewer is lost.
      }
      this.running -= 1;
      if (!this.missing.has(address)) guarded(() => this.ask());
    }
  }

  function whyLost(error, url) {
    // Browsers say "Failed to fetch", "Load failed" ... and no more; to a page of another origin not even which.
    if (error instanceof TypeError)
      return new URL(url).origin === location.origin
        ? 'it cannot be reached'
        : 'it cannot be reached, or does not allow pages of this origin to ask (CORS), or this page\'s own policy does not (connect-src)';
    return error instanceof SyntaxError ? 'its answer is not JSON' : error.message;
  }

  // --------------------------------------------------------------------------------------------------------- mount

  /** One place where the state is shown. */
  class Widget {
    constructor(element, source) {
      const keys = (attributeOf(element, 'services') ?? '').split(',').map((key) => key.trim());
      const refresh = Number.parseFloat(attributeOf(element, 'refresh'));
      this.element = element;
      this.source = source;
      this.refresh = refresh >= 1 ? refresh : REFRESH_S;
      this.page = attributeOf(element, 'page') !== null;
      this.options = {
        services: keys.filter((key) => key !== ''),
        admin: source.admin,
        title: element.ownerDocument.title,
      };
      this.filter = (this.page && filterOf(location.hash)) || NO_FILTER;
      this.seen = null;
      this.listening = new AbortController();
      this.onScreen = new Set();
      // A browser without it shows no past, and everything else.
      this.observer =
        typeof IntersectionObserver === 'function'
          ? new IntersectionObserver((entries) => guarded(() => this.scrolled(entries)), { rootMargin: '600px' })
          : null;
      this.listen();
    }

    /** Returns whether something is wrong. A fault of ours must not leave an old, green picture behind. */
    draw() {
      const { source } = this;
      const draw = () => {
        // What stood here before is not ours to keep up to date.
        if (this.seen === null) this.element.replaceChildren();
        const { past, incidents } = source.archive;
        const latencies = new Map([...source.latencies].map(([key, { points }]) => [key, points]));
        const more = { lost: source.lost, answeredAge: source.age, filter: this.filter, past, latencies, near: this.near() };
        const options = { ...this.options, ...more, incidents: this.page ? incidents : null };
        this.seen = view(source.document, source.ageNow(), options);
        render(this.element, this.seen, this.options.admin);
        if (this.page) renderTab(this.element.ownerDocument, this.seen);
        if (this.observer !== null)
          for (const card of this.element.querySelectorAll('.wk-card')) this.observer.observe(card);
        return this.seen.wrong;
      };
      return guarded(draw, () => {
        this.seen = null;
        const words = 'The status cannot be drawn; the console says why. It is at /api/status, too.';
        this.element.replaceChildren(words);
        return true;
      });
    }

    /** Only the ages on the screen move on, as long as the document can be believed as before. */
    tick() {
      const age = this.source.ageNow();
      if (this.seen?.kind !== freshness(this.source.document, age, this.source.lost)) return void this.draw();
      if (this.seen.now === null) return;
      const now = this.now(age);
      if (this.observer === null) return renderAges(this.element, now);
      for (const part of this.element.children) if (!part.matches('.wk-cards')) renderAges(part, now);
      for (const card of this.onScreen) renderAges(card, now);
    }

    now(age) {
      return instant(this.source.document.generated_at) + age * 1000;
    }

    /** The keys of the cards on the screen or near it. */
    visible() {
      return [...this.onScreen].filter((card) => card.isConnected).map((card) => card.dataset.wkKey);
    }

    /** The keys of the cards that have all details; one with the focus keeps them. */
    near() {
      const focused = this.element.ownerDocument.activeElement?.closest('.wk-card');
      return new Set([...this.visible(), focused?.dataset.wkKey]);
    }

    scrolled(entries) {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) this.onScreen.delete(target);
        else {
          this.onScreen.add(target);
          const age = this.source.ageNow();
          if (this.seen !== null && this.seen.now !== null) renderAges(target, this.now(age));
        }
      }
      if (this.seen?.cards.length > MANY_CARDS) this.source.drawSoon();
      this.source.archive.ask();
    }

    listen() {
      const on = (target, name, work) =>
        target.addEventListener(name, (event) => guarded(() => work(event)), { signal: this.listening.signal });
      const { element } = this;
      const find = () => element.querySelector('.wk-filter input');
      on(element, 'input', ({ target }) => target.closest('.wk-filter') && this.look());
      on(element, 'keydown', (event) => {
        if (event.key !== 'Escape' || event.target !== find() || find().value === '') return;
        find().value = '';
        this.look();
      });
      const here = (bars) => Number(bars.getAttribute('aria-valuenow'));
      const point = ({ target, clientX }) => {
        const bars = target.closest('.wk-bars');
        if (bars !== null) sayDayAt(bars, clientX);
      };
      on(element, 'pointermove', point);
      // A finger only touches; what it touched stays when it goes.
      on(element, 'pointerdown', point);
      on(element, 'pointerout', ({ target, pointerType }) => {
        const bars = target.closest('.wk-bars');
        if (bars !== null && pointerType !== 'touch' && !bars.matches(':focus-visible')) sayDay(bars);
      });
      // Whoever came with a pointer has said already which day is meant.
      on(element, 'focusin', ({ target }) => target.matches('.wk-bars:focus-visible') && sayDay(target, here(target)));
      on(element, 'focusout', ({ target }) => target.matches('.wk-bars') && sayDay(target));
      on(element, 'keydown', (event) => {
        const { target: bars, key } = event;
        if (!bars.matches('.wk-bars') || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
        const day = dayFrom(here(bars), Number(bars.getAttribute('aria-valuemax')), key);
        if (day === null) return;
        event.preventDefault();
        sayDay(bars, day);
      });
      if (!this.page) return;
      on(element.ownerDocument, 'keydown', (event) => {
        const isTyping = event.target.closest?.('input, textarea, select, [contenteditable]');
        if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping || !find()) return;
        event.preventDefault();
        find().focus();
        find().select();
      });
      on(window, 'hashchange', () => {
        const filter = filterOf(location.hash);
        if (filter === null) return;
        this.filter = filter;
        this.draw();
        if (find() === null) return;
        find().value = filter.words;
        element.querySelector('.wk-filter select').value = filter.state;
      });
    }

    /** Takes over what the reader looks for; on our own page it stays in the address. */
    look() {
      const [input, select] = ['input', 'select'].map((one) => this.element.querySelector(`.wk-filter ${one}`));
      this.filter = { words: input.value.trim(), state: select.value };
      if (this.page) window.history.replaceState(null, '', location.pathname + location.search + hashOf(this.filter));
      this.draw();
    }

    end() {
      this.listening.abort();
      this.observer?.disconnect();
      delete this.element.wellkeep;
    }
  }

  const ELEMENT = 'wellkeep-status';

  /** An attribute of a widget; our own element has no need of `data-`. */
  function attributeOf(element, name) {
    const isOurs = element.localName === ELEMENT;
    return element.getAttribute(`data-${name}`) ?? (isOurs ? element.getAttribute(name) : null);
  }

  /** A fault of ours stays ours: the page around the widget goes on. */
  function guarded(work, rescue = () => undefined) {
    try {
      return work();
    } catch (error) {
      console.error('Wellkeep widget:', error);
      return rescue();
    }
  }

  /** @param {string} base where this script's viewer is, with a slash at the end */
  function start(base) {
    const sources = new Map();
    /** The timer and the listeners of the page; null while there is no widget. */
    let running = null;

    function mount() {
      for (const element of document.querySelectorAll('[data-wellkeep]')) guarded(() => add(element));
    }

    function add(element) {
      if (element.wellkeep !== undefined) return;
      const src = attributeOf(element, 'src');
      const there = src ? new URL(src.replace(/\/?$/, '/'), document.baseURI).href : base;
      const admin = attributeOf(element, 'admin') !== null;
      const id = `${there} ${admin}`;
      const source = sources.get(id) ?? new Source(there, admin);
      element.wellkeep = new Widget(element, source);
      sources.set(id, source);
      source.widgets.add(element.wellkeep);
      run();
      element.wellkeep.draw();
      source.ask();
    }

    function remove(element) {
      const widget = element.wellkeep;
      if (widget === undefined) return;
      widget.end();
      for (const [id, source] of sources) {
        if (!source.widgets.delete(widget) || source.widgets.size > 0) continue;
        source.end();
        sources.delete(id);
      }
      if (sources.size === 0) rest();
    }

    function each(work) {
      for (const source of sources.values()) {
        for (const { element } of source.widgets) if (!element.isConnected) remove(element);
        if (!document.hidden && source.widgets.size > 0) guarded(() => work(source));
      }
    }

    function askAll() {
      each((source) => {
        source.tick();
        source.ask();
      });
    }

    function run() {
      if (running !== null) return;
      const timer = setInterval(() => each((source) => source.tick()), 1000);
      const stop = new AbortController();
      const { signal } = stop;
      document.addEventListener('visibilitychange', askAll, { signal });
      window.addEventListener('online', askAll, { signal });
      window.addEventListener('pageshow', (event) => event.persisted && askAll(), { signal });
      running = { timer, stop };
    }

    function rest() {
      clearInterval(running.timer);
      running.stop.abort();
      running = null;
    }

    addStylesheet(new URL('static/status.css', base).href);
    mount();
    if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', mount, { once: true });
    guarded(() => define(add, remove));
    return { mount, view };
  }

  /** `<wellkeep-status>`: the same, coming and going with its element. */
  function define(add, remove) {
    if (typeof customElements === 'undefined' || customElements.get(ELEMENT) !== undefined) return;
    class Status extends HTMLElement {
      static observedAttributes = ['services', 'refresh', 'src', 'admin', 'page'].flatMap((name) => [name, `data-${name}`]);

      connectedCallback() {
        guarded(() => add(this));
      }

      disconnectedCallback() {
        guarded(() => remove(this));
      }

      attributeChangedCallback() {
        if (this.wellkeep === undefined) return;
        this.disconnectedCallback();
        this.connectedCallback();
      }
    }
    customElements.define(ELEMENT, Status);
  }

  function addStylesheet(href) {
    if ([...document.querySelectorAll('link[rel~="stylesheet"]')].some((link) => link.href === href)) return;
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = href;
    document.head.append(link);
  }

  if (typeof window === 'undefined') {
    // The tests: a page may well have a variable of the name `module`.
    module.exports = { view, pause, ageOf, dayFrom, documentIn, duration, filterOf, hashOf, remember };
  } else if (window.wellkeep === undefined) {
    // The script stands at BASE/static/status.js.
    const base = new URL('..', document.currentScript?.src ?? document.baseURI).href;
    guarded(() => {
      window.wellkeep = start(base);
    });
  } else {
    // Pasted twice with its <div>: the first one takes the new elements.
    guarded(() => window.wellkeep.mount());
  }
})();
