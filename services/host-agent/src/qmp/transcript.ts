// The last messages of a monitor, for the log when something goes wrong: bounded in number and in length.

export class Transcript {
  private readonly lines: string[] = [];
  constructor(private readonly limit = 64, private readonly lineLimit = 300) {}

  note(direction: 'sent' | 'got', text: string): void {
    this.lines.push(`${direction} ${text.slice(0, this.lineLimit)}`);
    if (this.lines.length > this.limit) this.lines.shift();
  }

  read(): readonly string[] {
    return this.lines;
  }
}
