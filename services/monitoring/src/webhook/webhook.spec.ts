// What webhooks send, when they try again, and where they never go.
import { createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { addressIn, isReachable, networks } from './address.ts';
import { bodyText, pauseBefore, secretOf, secretText, signedHeaders } from './webhook.ts';

describe('a signature', () => {
  // The example of the specification: https://github.com/standard-webhooks/standard-webhooks (spec, "Signature scheme").
  it('is that of Standard Webhooks', () => {
    const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const headers = signedHeaders({ id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', at: new Date(1_614_265_330_000), body: '{"test": 2432232314}', secrets: [secret] });
    expect(headers).toEqual({ 'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=' });
  });
  it('is made with the old secret too while it holds', () => {
    const master = Buffer.alloc(32, 7);
    const [now, before] = [secretOf(master, 'w', 2), secretOf(master, 'w', 1)];
    const signature = signedHeaders({ id: 'i', at: new Date(5_000), body: 'b', secrets: [now, before] })['webhook-signature'];
    expect(signature).toBe([now, before].map((secret) => `v1,${createHmac('sha256', secret).update('i.5.b').digest('base64')}`).join(' '));
  });
  it('has a secret of its own for each webhook and version, the same whenever it is made', () => {
    const master = Buffer.alloc(32, 7);
    const texts = [secretOf(master, 'a', 1), secretOf(master, 'a', 2), secretOf(master, 'b', 1), secretOf(Buffer.alloc(32, 8), 'a', 1)].map(secretText);
    expect(new Set(texts).size).toBe(4);
    expect(texts[0]).toBe(secretText(secretOf(master, 'a', 1)));
    expect(texts[0]).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  });
});

it('a body is JSON with the events as the log has them', () => {
  expect(JSON.parse(bodyText({ webhookId: 'w', test: false, after: 1, position: 3, items: [{ text: '{"globalSeq":2}' }, { text: '{"globalSeq":3}' }] }))).toEqual({ webhookId: 'w', test: false, after: 1, position: 3, events: [{ globalSeq: 2 }, { globalSeq: 3 }] });
});

it('the pause doubles up to a quarter of an hour, less up to half of it', () => {
  expect([1, 2, 3, 8, 11, 50].map((tries) => pauseBefore(tries, 0))).toEqual([1_000, 2_000, 4_000, 128_000, 900_000, 900_000]);
  expect([0, 0.5, 1].map((chance) => pauseBefore(3, chance))).toEqual([4_000, 3_000, 2_000]);
});

/** As people who want in write them. */
const refused = [
  'http://127.0.0.1/', 'http://127.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://0x7f.1/', 'http://0177.0.0.1/', 'http://127.255.255.254/', 'http://0.0.0.0/', 'http://0/', 'http://10.1.2.3/', 'http://172.16.0.1/', 'http://172.31.255.255/',
  'http://192.168.1.1/', 'http://169.254.169.254/latest/meta-data', 'http://100.64.0.1/', 'http://192.0.0.8/', 'http://192.0.2.1/', 'http://198.18.0.1/', 'http://198.51.100.1/', 'http://203.0.113.9/', 'http://224.0.0.1/', 'http://240.0.0.1/',
  'http://255.255.255.255/', 'http://[::1]/', 'http://[::]/', 'http://[::ffff:127.0.0.1]/', 'http://[::ffff:7f00:1]/', 'http://[::ffff:10.0.0.1]/', 'http://[::127.0.0.1]/', 'http://[64:ff9b::7f00:1]/', 'http://[64:ff9b:1::1]/', 'http://[100::1]/',
  'http://[fe80::1]/', 'http://[fc00::1]/', 'http://[fd12:3456::1]/', 'http://[fec0::1]/', 'http://[ff02::1]/', 'http://[2001:db8::1]/', 'http://[2001::1]/', 'http://[2002:7f00:1::]/', 'http://[3fff::1]/', 'http://[5f00::1]/',
];
describe('an address', () => {
  const none = networks([]);
  it.each(refused)('%s is not reached', (url) => {
    expect(isReachable(addressIn(new URL(url)) ?? '', none)).toBe(false);
  });
  it.each(['http://1.1.1.1/', 'http://172.15.0.1/', 'http://172.32.0.1/', 'http://8.8.8.8:8080/x', 'http://[2606:4700::1111]/', 'http://[2a00:1450:4001::1]/'])('%s is', (url) => {
    expect(isReachable(addressIn(new URL(url)) ?? '', none)).toBe(true);
  });
  it('is reached where the configuration says so, and nothing beside it', () => {
    const allowed = networks(['10.0.0.0/8', 'fd00::/8', '127.0.0.1/32']);
    expect(['10.9.8.7', 'fd00::5', '127.0.0.1', '::ffff:10.0.0.1', '1.1.1.1'].map((address) => isReachable(address, allowed))).toEqual([true, true, true, true, true]);
    expect(['192.168.0.1', 'fc00::5', '127.0.0.2', '::1'].map((address) => isReachable(address, allowed))).toEqual([false, false, false, false]);
  });
  it('is none where a name stands', () => {
    expect(['http://example.com/', 'http://localhost/', 'http://10.example.com/'].map((url) => addressIn(new URL(url)))).toEqual([undefined, undefined, undefined]);
  });
});
