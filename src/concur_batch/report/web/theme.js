'use strict';
// Colours, and charts that are drawn anew when the theme, the width or the medium changes.

// The same measure has the same colour everywhere. Blue works, light blue is held but idle, amber is paused, grey waits;
// green is served from the cache or generated, vermillion is computed (again) or lost.
const COLOURS = {
  locked: '--blue', evictable: '--sky', free: '--pale',
  hit: '--green', miss: '--vermillion', prefill: '--vermillion', decode: '--green',
  limit: '--ink', active: '--blue', committed: '--blue',
  paused: '--amber', unstarted: '--grey', running: '--blue', queued: '--grey',
  model: '--blue', tool: '--sky', waiting: '--purple', retry: '--vermillion', admission: '--grey',
  context: '--blue',
};
const RUN_COLOURS = ['--blue', '--vermillion', '--green', '--amber', '--purple']; // then the same with dashes
const RUN_DASHES = ['solid', 'dash', 'dot'];

function variable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(measure) {
  return variable(COLOURS[measure]);
}

function runColour(place) {
  return variable(RUN_COLOURS[place % RUN_COLOURS.length]);
}

function runDash(place) {
  return RUN_DASHES[Math.floor(place / RUN_COLOURS.length) % RUN_DASHES.length];
}

// The colour as text: nearer to the ink where it would be too faint on the card.
function readable(hex) {
  const paper = luminance(variable('--card'));
  const ink = variable('--ink');
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = mix(hex, ink, share);
    const own = luminance(mixed);
    if ((Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05) >= 4.5) return mixed;
  }
  return ink;
}

function channels(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function mix(hex, other, share) {
  const [from, to] = [channels(hex), channels(other)];
  return '#' + from.map((one, i) => Math.round(one + (to[i] - one) * share).toString(16).padStart(2, '0')).join('');
}

function luminance(hex) {
  const [red, green, blue] = channels(hex).map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function faded(hex, alpha) {
  return `rgba(${channels(hex).join()},${alpha})`;
}

const PLOT = { displaylogo: false, displayModeBar: false, responsive: false, doubleClick: false, scrollZoom: false, showTips: false };

// A chart: `make(width)` gives what Plotly draws. Kept, so that it can be drawn again.
const charts = new Set();
const PAPER = 640; // pixels that fit on paper of any usual size
let printing = false;
let zoomed = null; // the seconds shown in all timelines, from and to; null: all of them

function chart(height, make, options) {
  const div = el('div', { class: 'chart' });
  const one = { div, make, height, group: (options || {}).group, drawn: 0, click: (options || {}).click };
  charts.add(one);
  return div;
}

function forget(root) {
  for (const one of [...charts]) {
    if (root.contains(one.div)) {
      Plotly.purge(one.div);
      charts.delete(one);
    }
  }
}

function draw(one, width) {
  const made = one.make(width);
  const layout = Object.assign({
    width, height: typeof one.height === 'function' ? one.height(width) : one.height,
    margin: { l: 56, r: 20, t: 12, b: 42 },
    paper_bgcolor: variable('--card'), plot_bgcolor: variable('--card'),
    font: { family: variable('--sans'), size: 12, color: variable('--soft') },
    hoverlabel: { bgcolor: variable('--card'), bordercolor: variable('--line'), font: { color: variable('--ink'), size: 12, family: variable('--sans') }, align: 'left', namelength: -1 },
    showlegend: false, dragmode: one.group ? 'zoom' : false,
  }, made.layout);
  one.div.classList.toggle('direct', Boolean(made.direct));
  const first = one.drawn === 0;
  one.drawn = width;
  one.by = made.by; // seconds in a unit of its time axis
  Plotly.react(one.div, made.traces, layout, PLOT);
  if (first && one.group) {
    one.div.on('plotly_relayout', (change) => { if ('xaxis.range[0]' in change) zoom([change['xaxis.range[0]'] * one.by, change['xaxis.range[1]'] * one.by]); });
    one.div.on('plotly_doubleclick', () => zoom(null));
  }
  if (first && one.click) one.div.on('plotly_click', one.click);
}

// One zoomed timeline takes all others along. null: all of the time.
function zoom(range) {
  zoomed = range;
  for (const one of charts) {
    if (one.group) draw(one, one.drawn);
  }
}

// All charts anew; `resized`: only those that have another width now.
function drawAll(resized) {
  for (const one of charts) {
    const room = printing ? PAPER : Math.floor(one.div.clientWidth);
    if (room > 0 && one.div.isConnected && !(resized && one.drawn === room)) draw(one, room);
  }
}

function axis(more) {
  return Object.assign({
    gridcolor: variable('--grid'), zerolinecolor: variable('--grid'), linecolor: variable('--line'), tickcolor: variable('--line'),
    ticks: 'outside', ticklen: 4, fixedrange: true, automargin: false, tickfont: { size: 11, color: variable('--soft') },
  }, more);
}

function title(text) {
  return { text, font: { size: 11, color: variable('--soft') }, standoff: 6 };
}

// Time in the unit that suits the whole.
function timeUnit(seconds) {
  if (seconds < 180) return { by: 1, sign: ' s' };
  return seconds < 3 * 3600 ? { by: 60, sign: ' min' } : { by: 3600, sign: ' h' };
}

// Of an axis that ends at `top`: thousands as k; below 10 there may be parts, which are no thousandths.
function countFormat(top) {
  return top < 10 ? '~g' : '~s';
}

function timeAxis(seconds, width, more) {
  const unit = timeUnit(seconds);
  return axis(Object.assign({
    range: (zoomed || [0, Math.max(seconds, 1e-3)]).map((end) => end / unit.by), fixedrange: false, ticksuffix: unit.sign,
    nticks: Math.max(2, Math.min(9, Math.floor(width / 70))), tickangle: 0, // turned ones would be cut off
    spikecolor: variable('--faint'), spikethickness: 1, spikedash: 'solid',
  }, more));
}

function watch() {
  let waiting = 0;
  const resize = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(() => drawAll(true)); };
  const print = (now) => { printing = now; drawAll(); }; // at once: nobody waits for a frame
  new ResizeObserver(resize).observe(document.getElementById('page'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawAll());
  matchMedia('print').addEventListener('change', (change) => print(change.matches));
  addEventListener('beforeprint', () => print(true));
  addEventListener('afterprint', () => print(false));
}
