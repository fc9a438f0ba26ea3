'use strict';
// Trajectories: found by id, unpacked when asked for, read message by message.

const MOST_FOUND = 200;
const unpacked = new Map();

async function block(number) {
  if (!unpacked.has(number)) {
    if (typeof DecompressionStream === 'undefined') throw new Error('this browser is too old to unpack trajectories; open the report in a current one');
    const bytes = Uint8Array.from(atob(document.getElementById(`block-${number}`).textContent), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    unpacked.set(number, JSON.parse(await new Response(stream).text()));
  }
  return unpacked.get(number);
}

class Viewer {
  constructor(run) {
    this.kept = run.trajectories;
    this.rows = [];
    this.current = null;
    this.input = el('input', { type: 'search', placeholder: 'Find an id', 'aria-label': 'Find an id' });
    this.status = el('select', { 'aria-label': 'Status' });
    this.counted = el('div', { class: 'count' });
    this.found = el('div', { class: 'found' });
    this.story = el('div', { class: 'story', tabindex: 0 }, el('p', { class: 'note' }, 'Choose a rollout to read what was said and done.'));
    this.input.addEventListener('input', () => this.list());
    this.status.addEventListener('change', () => this.list());
    this.root = el('div', { class: 'viewer', id: 'viewer' }, el('div', { class: 'finder' }, el('div', { class: 'ask' }, this.input, this.status, this.counted), this.found), this.story);
    this.ready = this.load();
  }

  async load() {
    try {
      this.rows = await block(this.kept.list);
    } catch (error) {
      this.say(error);
      return;
    }
    const { compare } = new Intl.Collator('en', { numeric: true });
    this.rows.sort((a, b) => (b[1] === 'error') - (a[1] === 'error') || compare(a[0], b[0]));
    const statuses = new Map();
    for (const row of this.rows) statuses.set(row[1], (statuses.get(row[1]) || 0) + 1);
    this.status.append(el('option', { value: '' }, 'every status'), ...[...statuses].map(([name, n]) => el('option', { value: name }, `${name} (${count(n)})`)));
    this.list();
    const first = this.rows.find((row) => row[5] >= 0);
    if (first) this.open(first);
  }

  list() {
    const wanted = this.input.value.trim().toLowerCase();
    const status = this.status.value;
    const fit = this.rows.filter((row) => (!wanted || row[0].toLowerCase().includes(wanted) || visible(row[0]).toLowerCase().includes(wanted)) && (!status || row[1] === status));
    this.counted.textContent = fit.length === this.rows.length ? `${many(fit.length, 'rollout')}` : `${count(fit.length)} of ${many(this.rows.length, 'rollout')}`;
    this.found.replaceChildren(...fit.slice(0, MOST_FOUND).map((row) => this.row(row)));
    if (fit.length > MOST_FOUND) this.found.append(el('p', { class: 'note row' }, `${count(fit.length - MOST_FOUND)} more; write more of the id.`));
    if (!fit.length) this.found.append(el('p', { class: 'note row' }, this.rows.length ? 'No listed rollout has this in its id.' : 'Nothing has begun.'));
  }

  row(row) {
    const [id, status, steps, context, seconds, place] = row;
    const what = [many(steps, 'step'), context ? compact(context) + ' tokens' : null, seconds === null ? null : duration(seconds), place < 0 ? 'not kept here' : null].filter(Boolean).join(' · ');
    return el('button', { class: 'row', type: 'button', disabled: place < 0, 'aria-current': row === this.current ? 'true' : null, onclick: () => this.open(row) },
      el('span', { class: 'id' }, id), el('span', { class: 'what' }, el('span', { class: status === 'error' ? 'error' : '' }, status), ' · ', what));
  }

  async show(id) {
    await this.ready;
    this.root.scrollIntoView({ block: 'start' });
    const row = this.rows.find((one) => one[0] === id);
    if (row && row[5] >= 0) await this.open(row);
    else {
      this.input.value = visible(id);
      this.status.value = '';
      this.list();
      this.story.replaceChildren(el('p', { class: 'note' }, `${id}: is not among the trajectories kept here; results.parquet has every rollout that has ended.`));
    }
  }

  async open(row) {
    this.current = row;
    this.list();
    try {
      const told = (await block(row[5]))[row[6]];
      if (this.current === row) this.tell(told);
    } catch (error) {
      this.say(error);
    }
  }

  say(error) {
    this.story.replaceChildren(el('p', { class: 'note' }, error.message));
  }

  tell(told) {
    const { head, items, left_out: leftOut } = told;
    const facts = Object.entries(head).filter(([name, value]) => !['id', 'status', 'error'].includes(name) && value !== null && value !== '')
      .map(([name, value]) => `${name.replace(/_s$/, '').replaceAll('_', ' ')} ${name === 'wall_s' ? duration(value) : typeof value === 'number' ? grouped.format(value) : value}`).join(' · ');
    const body = el('div', {}, items.map(message));
    const fold = (open) => { for (const one of body.querySelectorAll('details')) one.open = open; };
    this.story.replaceChildren(
      el('div', { class: 'top' }, el('h3', {}, head.id), el('span', { class: 'chip ' + (head.status === 'completed' ? 'good' : head.status === 'error' ? 'bad' : '') }, head.status),
        el('button', { type: 'button', onclick: () => fold(true) }, 'Unfold all'), el('button', { type: 'button', onclick: () => fold(false) }, 'Fold all')),
      el('div', { class: 'facts' }, facts), head.error ? el('div', { class: 'message badtext' }, head.error) : '', body,
      leftOut ? el('p', { class: 'note' }, `${many(leftOut, 'further record')} of this rollout are left out here.`) : '');
    this.story.scrollTop = 0;
  }
}

const OPEN_CHARS = 900;

function message(item) {
  const calls = item.calls || [];
  const size = item.text.length + (item.cut || 0);
  const peek = item.text.slice(0, 200).replace(/\s+/g, ' ') || calls.map((call) => call.name).join(', ');
  return el('details', { class: `item ${['user', 'assistant', 'tool', 'reasoning'].includes(item.role) ? item.role : ''}${item.bad ? ' bad' : ''}`, open: size <= OPEN_CHARS && item.role !== 'system' },
    el('summary', {}, el('span', { class: 'role' }, item.role), el('span', { class: 'peek' }, peek), item.note ? el('span', { class: 'cost' }, item.note) : null),
    el('div', { class: 'body' }, item.text ? written(item, item.text) : null, calls.map(toolCall)));
}

function toolCall(call) {
  const text = call.cut ? call.text : indented(call.text);
  return el('details', { class: 'item call', open: text.length <= OPEN_CHARS }, el('summary', {}, el('span', { class: 'role' }, call.name), el('span', { class: 'peek' }, call.text.slice(0, 160))), el('div', { class: 'body' }, written(call, text)));
}

function written(item, text) {
  const pre = el('pre', {}, text);
  if (item.cut) pre.append(el('span', { class: 'cut' }, `\n… ${many(item.cut, 'character')} left out …\n`), visible(item.tail || ''));
  return pre;
}

// Arguments as people read them: texts of several lines as such, everything else as JSON. Whatever JavaScript would write otherwise than it came
// (numbers that it rounds, a name that is there twice) stays as it came.
function indented(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  const came = text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, string) => (string ? JSON.stringify(JSON.parse(string)) : ''));
  if (came !== JSON.stringify(value)) return text;
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return JSON.stringify(value, null, 2);
  return Object.entries(value).map(([name, one]) => {
    if (typeof one !== 'string') return `${name}: ${JSON.stringify(one, null, 2)}`;
    return one.includes('\n') ? `${name}:\n${one.replace(/^/gm, '  ')}` : `${name}: ${one}`;
  }).join('\n');
}
