// Every command that a page tells its reader to type is run by a test, or the page says why not; and what a page refers to is there.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { blocksOf, guidesOf, isTyped, pastedBy } from '../e2e/guide-blocks.ts';
import type { Block } from '../e2e/guide-blocks.ts';
import { root } from './services.ts';

const guides = guidesOf(root).map((name) => `docs/guides/${name}`);
const pages = ['README.md', 'CONTRIBUTING.md', ...guides];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const where = (page: string, { line }: Block): string => `${page}:${line}`;
const isSilent = (block: Block): boolean => isTyped(block) && !block.isRun && block.file === undefined && block.notRun === undefined;
const all = pages.flatMap((page) => blocksOf(read(page)).map((block) => ({ page, block })));

describe('what a page tells its reader to type', () => {
  it('is found, in every guide', () => {
    expect(guides.length).toBeGreaterThan(10);
    expect(guides.filter((page) => !all.some((one) => one.page === page && isTyped(one.block)))).toEqual([]);
  });
  it('is run by a test, or says why not', () => {
    expect(all.filter(({ block }) => isSilent(block)).map(({ page, block }) => `${where(page, block)}: add "run" (or "file=NAME") behind the language, or the comment <!-- not run: the reason --> before the block`)).toEqual([]);
  });
  it('is missed where it is neither: a block without a mark or a language, a reason for another block', () => {
    const markdown = ['<!-- not run: far away -->', 'text', '```sh', 'a', '```', '', '<!-- not run: no engine -->', '', '```sh', 'b', '```', '```', 'c', '```', '```json', '{}', '```', '```sh run', 'd', '```', ''].join('\n');
    expect(blocksOf(markdown).filter(isSilent).map(({ line, text }) => [line, text])).toEqual([[3, 'a\n'], [12, 'c\n']]);
    expect(() => blocksOf('```sh runs\na\n```\n')).toThrow('nobody knows');
    expect(() => blocksOf('```sh\na\n')).toThrow('no end');
  });
  it('is run where a test looks for it: in the guides', () => {
    expect(all.filter(({ page, block }) => (block.isRun || block.file !== undefined) && !guides.includes(page)).map(({ page, block }) => where(page, block))).toEqual([]);
  });
  it('is not both run and excused', () => {
    expect(all.filter(({ block }) => (block.isRun || block.file !== undefined) && block.notRun !== undefined).map(({ page, block }) => where(page, block))).toEqual([]);
  });
  it('is a shell’s, or is saved as a file that the same page runs', () => {
    const isUsed = ({ page, block }: (typeof all)[number]): boolean => all.some((one) => one.page === page && one.block.isRun && one.block.text.includes(block.file!));
    const wrong = all.filter((one) => (one.block.isRun && one.block.language !== 'sh') || (one.block.file !== undefined && !isUsed(one)));
    expect(wrong.map(({ page, block }) => where(page, block))).toEqual([]);
  });
  it('has a test that pastes its page: that of the guides, or the one that is named for it', () => {
    for (const [guide, test] of Object.entries(pastedBy)) {
      expect([guide, guides.includes(`docs/guides/${guide}`)]).toEqual([guide, true]);
      expect([test, readFileSync(join(root, 'test/e2e', test), 'utf8').includes(`'${guide}'`)]).toEqual([test, true]);
    }
  });
});

describe('the stand-in of the nats command', () => {
  const nats = (...args: string[]) => spawnSync(join(root, 'test/e2e/stand-ins/nats'), args, { encoding: 'utf8' });

  it.each([['req', '--replies', '2', 'a', '{}'], ['req', '--jetstream', 'a', '{}'], ['stream', 'ls'], ['req', '--timeout', 'soon', 'a', '{}']])('refuses what no page uses: %s %s', (...args) => {
    expect(nats(...args)).toMatchObject({ status: 1, stderr: expect.stringContaining('nats: error: ') });
  });
});

describe('a guide', () => {
  it.each(guides)('%s is named in the README', (page) => {
    expect(read('README.md')).toContain(`(${page})`);
  });
});

/** What a reader would click on: targets without those of other sites. */
const linksOf = (markdown: string): string[] => [...markdown.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => !/^[a-z]+:/.test(target));
/** As GitHub makes them of headings. */
const anchorsOf = (markdown: string): string[] => [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));

describe('a link', () => {
  it.each(pages)('of %s leads somewhere', (page) => {
    const dead = linksOf(read(page)).filter((target) => {
      const [path, anchor] = target.split('#') as [string, string?];
      const file = path === '' ? page : join(dirname(page), path);
      return !existsSync(join(root, file)) || (anchor !== undefined && !anchorsOf(read(file)).includes(anchor));
    });
    expect(dead).toEqual([]);
  });
});
