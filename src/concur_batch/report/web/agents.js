'use strict';
// Where agents' time went, and what a sample of them did when.

const PHASES = [
  ['admission', 'admission', 'before the first slot'],
  ['paused', 'paused', 'without a slot, at a step boundary'],
  ['waiting', 'waiting', 'before a call began: request limit, engine away, the rate of a tool, a thread for it'],
  ['model', 'model', 'from sending a call to the whole reply'],
  ['tool', 'tool', 'summed over calls, also those side by side'],
  ['retry', 'failed attempts', 'model calls that failed at first or for good, and the time between attempts'],
];
const SECONDS = { admission: 'admission_s', paused: 'paused_s', waiting: 'wait_s', model: 'model_s', tool: 'tool_s', retry: 'retry_s' };

// `admitted`: of the time from the first slot on.
function timeShares(run, admitted) {
  const of = (phase) => (admitted && phase === 'admission' ? 0 : run.agent_time[SECONDS[phase]]);
  const total = PHASES.reduce((sum, [phase]) => sum + of(phase), 0);
  return PHASES.map(([phase, name, meaning]) => {
    const seconds = of(phase);
    return { phase, name, meaning, seconds, share: total > 0 ? seconds / total : 0 };
  });
}

// A bar per run from the first slot on; of a single run a second one with what was before.
function agentTime(runs) {
  const several = runs.length > 1;
  const bars = runs.filter((run) => timeShares(run, true).some((one) => one.seconds > 0)).map((run) => ({ name: several ? run.name : 'once admitted', shares: timeShares(run, true) }));
  if (!several && runs[0].agent_time.admission_s > 0) bars.push({ name: 'in all', shares: timeShares(runs[0], false) });
  if (!bars.length) return null;
  const phases = PHASES.filter(([phase], place) => bars.some((bar) => bar.shares[place].seconds > 0));
  const div = chart(38 * bars.length + 44, (width) => {
    const place = (phase) => PHASES.findIndex(([name]) => name === phase);
    const words = (one) => (one.share * width > 130 ? `${one.name} ${percent(one.share, 0)}` : one.share * width > 50 ? percent(one.share, 0) : '');
    const traces = phases.map(([phase, name]) => {
      const own = bars.map((bar) => bar.shares[place(phase)]);
      return {
        type: 'bar', orientation: 'h', name, y: bars.map((_, i) => i), x: own.map((one) => one.share),
        marker: { color: colour(phase), line: { color: variable('--card'), width: 1 } },
        text: own.map(words), textposition: 'inside', insidetextanchor: 'middle', textangle: 0, constraintext: 'none', textfont: { color: onColour(phase), size: 12 },
        customdata: own.map((one) => duration(one.seconds)), hovertemplate: `${name}: %{x:.1%}, %{customdata}<extra></extra>`,
      };
    });
    return {
      traces,
      layout: {
        barmode: 'stack', bargap: 0.25, margin: { l: width < WIDE ? 92 : 110, r: 20, t: 4, b: 26 },
        xaxis: axis({ range: [0, 1], tickformat: '.0%' }),
        yaxis: axis({ range: [bars.length - 0.45, -0.55], tickvals: bars.map((_, i) => i), ticktext: bars.map((bar) => plain(bar.name, 14)), ticks: '' }),
      },
    };
  });
  return card('Where agents’ time went', (several ? 'shares of the seconds of all agents, from the first slot on' : 'shares of the seconds of all agents') + underWay(runs), div, legend(phases.map(([phase, name]) => ({ name, measure: phase }))));
}

// Said wherever it counts: calls that have not come back, up to the newest record.
function underWay(runs) {
  const seconds = runs.reduce((sum, run) => sum + run.under_way_s, 0);
  return seconds > 0 ? `; ${duration(seconds)} of it still under way at the newest record` : '';
}

// Ink that can be read on a phase's colour, in both themes.
function onColour(phase) {
  return luminance(colour(phase)) > 0.3 ? '#10161f' : '#ffffff';
}

function timeTable(run) {
  const agents = run.rollouts.ended + run.rollouts.begun;
  const rows = timeShares(run, false).map((one) => el('tr', {},
    el('td', {}, el('span', { class: 'runname' }, swatch(COLOURS[one.phase]), one.name)),
    el('td', { class: 'n' }, duration(one.seconds)), el('td', { class: 'n' }, percent(one.share)),
    el('td', { class: 'n' }, agents ? duration(one.seconds / agents) : '–'), el('td', { class: 'note' }, one.meaning)));
  return el('div', { class: 'card scroll' }, el('table', {},
    el('thead', {}, el('tr', {}, el('th', {}, 'agents spent time'), el('th', { class: 'n' }, 'in all'), el('th', { class: 'n' }, 'share'), el('th', { class: 'n' }, 'per agent'), el('th', {}, ''))),
    el('tbody', {}, rows)));
}

// The sampled agents, one line each.
function gantt(run, open) {
  const lives = run.lives;
  if (!lives.agents.length) return null;
  const height = Math.max(130, Math.min(620, 70 + 10 * lives.agents.length));
  const shown = PHASES.filter(([phase]) => lives.phases[phase]);
  const div = chart(height, (width) => {
    const unit = timeUnit(run.elapsed_s);
    const alive = {
      type: 'bar', orientation: 'h', name: 'alive', y: lives.agents.map((_, i) => i), base: lives.agents.map((one) => one.start / unit.by),
      x: lives.agents.map((one) => Math.max(0, one.end - one.start) / unit.by), marker: { color: variable('--grid') }, width: 0.25, hoverinfo: 'skip',
    };
    const traces = shown.map(([phase, name]) => {
      const spans = lives.phases[phase];
      return {
        type: 'bar', orientation: 'h', name, y: spans.map((span) => span[0]), base: spans.map((span) => span[1] / unit.by), x: spans.map((span) => span[2] / unit.by),
        marker: { color: colour(phase) }, width: 0.82,
        text: spans.map((span) => plain(`${lives.agents[span[0]].id} · ${name}${span[3] ? ' ' + span[3] : ''} · ${duration(span[2])}`)),
        textposition: 'none', hovertemplate: '%{text}<extra></extra>',
      };
    });
    return {
      traces: [alive, ...traces], by: unit.by,
      layout: {
        barmode: 'overlay', margin: { l: 56, r: width >= WIDE ? 118 : 16, t: 8, b: 26 }, hovermode: 'closest',
        xaxis: timeAxis(run.elapsed_s, width), shapes: eventLines(run.events.kept, unit.by),
        yaxis: axis({ range: [lives.agents.length - 0.4, -0.6], showgrid: false, zeroline: false, showticklabels: false, ticks: '', title: title('agents, by start') }),
      },
    };
  }, { group: 'time', click: (event) => { const point = event.points[0]; if (point) open(lives.agents[Math.round(point.y)].id); } });
  const coarse = lives.coarse ? ' Short phases are merged with their neighbours.' : '';
  const of = lives.agents.length < lives.of ? `${lives.agents.length} of ${count(lives.of)}, drawn at random` : 'all of them';
  return card('What agents did', `${of}; a line each.${coarse} Click one to read it below.`, div, legend(shown.map(([phase, name]) => ({ name, measure: phase }))));
}
