// Numbers, sizes and times for people.

const plain = new Intl.NumberFormat('en', {maximumFractionDigits: 0});

export function number(n) {
  if (n == null || Number.isNaN(n)) return '–';
  if (Math.abs(n) >= 100 || Number.isInteger(n)) return plain.format(n);
  return n.toFixed(Math.abs(n) >= 10 ? 1 : 2).replace(/\.?0+$/, '');
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i ? number(n) : n} ${units[i]}`;
}

export function count(n, one, many) {
  return `${plain.format(n)} ${n === 1 ? one : many || one + 's'}`;
}

// instant gives the milliseconds of a time of the API; 0 is none.
export function instant(text) {
  const ms = Date.parse(text || '');
  return ms > 0 ? ms : 0;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return min < 10 && s % 60 ? `${min} min ${s % 60} s` : `${min} min`;
  const hours = Math.floor(min / 60);
  if (hours < 48) return min % 60 ? `${hours} h ${min % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const since = (text) => (instant(text) ? span(Date.now() - instant(text)) : '–');
export const ago = (text) => (instant(text) ? since(text) + ' ago' : 'never');

const two = (n) => String(n).padStart(2, '0');

// clock is the time of day, with the date where that is not today.
export function clock(text, millis) {
  const ms = typeof text === 'number' ? text : instant(text);
  if (!ms) return '–';
  const d = new Date(ms);
  let t = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  if (millis) t += '.' + String(d.getMilliseconds()).padStart(3, '0');
  if (d.toDateString() === new Date().toDateString()) return t;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${t}`;
}

export function millis(ms) {
  if (ms == null || Number.isNaN(ms)) return '–';
  if (ms >= 1000) return number(ms / 1000) + ' s';
  return number(ms) + ' ms';
}

export function shorten(text, most) {
  return text.length > most ? text.slice(0, most) + '…' : text;
}
