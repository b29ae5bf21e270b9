// From turns and tokens to pixels, and back. One scale serves drawing, marks, cursor and mouse.

export class Scale {
  /** Turns `from` to `to` over `width` pixels. */
  constructor(from, to, width, height) {
    Object.assign(this, {from, to, width, height, column: width / (to - from + 1)});
  }

  left(turn) {
    return (turn - this.from) * this.column;
  }

  middle(turn) {
    return this.left(turn + 0.5);
  }

  turn(x) {
    return Math.max(this.from, Math.min(this.to, this.from + Math.floor(x / this.column)));
  }
}
