// What came over the WebSocket: messages taken apart, and the columns of each stream that are kept.

/** Take a binary message apart: [header, offset of the payload]. */
export function unpack(data) {
  const view = new DataView(data);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return [header, 4 + length];
}

/** Columns of a message: {n, times, least(channel), greatest(channel)} as views of it. */
export function columnsOf(data, payload, told) {
  const { n, n_channels: nChannels } = told;
  const start = payload + told.offset;
  const size = n * nChannels * 4, padded = size + (-size & 7);
  const times = new Float64Array(data, start, n);
  const least = new Float32Array(data, start + 8 * n, n * nChannels);
  const greatest = new Float32Array(data, start + 8 * n + padded, n * nChannels);
  return {
    n, nChannels, times,
    least: (channel) => least.subarray(channel * n, (channel + 1) * n),
    greatest: (channel) => greatest.subarray(channel * n, (channel + 1) * n),
  };
}

/**
 * The newest columns of a stream. They lie in arrays with twice the room, so that appending moves
 * what is kept only once in a while; a source of StackedTraces is a view of them.
 */
export class Columns {
  constructor(nChannels, capacity) {
    this.nChannels = nChannels;
    this.capacity = capacity;
    this.room = 2 * capacity;
    this.times = new Float64Array(this.room);
    this.least = Array.from({ length: nChannels }, () => new Float32Array(this.room));
    this.greatest = Array.from({ length: nChannels }, () => new Float32Array(this.room));
    this.first = 0;
    this.stop = 0;
  }

  append(columns) {
    const n = Math.min(columns.n, this.capacity), skip = columns.n - n;
    if (this.stop + n > this.room) this.#compact(n);
    this.times.set(columns.times.subarray(skip), this.stop);
    for (let channel = 0; channel < this.nChannels; channel++) {
      this.least[channel].set(columns.least(channel).subarray(skip), this.stop);
      this.greatest[channel].set(columns.greatest(channel).subarray(skip), this.stop);
    }
    this.stop += n;
    this.first = Math.max(this.first, this.stop - this.capacity);
  }

  source(channel) {
    return {
      n: this.stop - this.first,
      times: this.times.subarray(this.first, this.stop),
      least: this.least[channel].subarray(this.first, this.stop),
      greatest: this.greatest[channel].subarray(this.first, this.stop),
    };
  }

  get newest() { return this.stop ? this.times[this.stop - 1] : NaN; }

  #compact(n) {
    const kept = Math.min(this.stop - this.first, this.capacity - Math.min(n, this.capacity));
    const from = this.stop - kept;
    for (const array of [this.times, ...this.least, ...this.greatest]) {
      array.copyWithin(0, from, this.stop);
    }
    this.first = 0;
    this.stop = kept;
  }
}

/** A source of StackedTraces for a channel of a window that came whole. */
export function sourceOf(columns, channel) {
  return {
    n: columns.n, times: columns.times,
    least: columns.least(channel), greatest: columns.greatest(channel),
  };
}
