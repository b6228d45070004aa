// When the widget asks again, and how old an answer is: node --test tests/widget/
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { pause, ageOf, documentIn } = createRequire(import.meta.url)('../../static/status.js');
const usual = { refresh: 15, wrong: false, age: 0, limit: 60, failures: 0 };

test('it asks every 15 s, and every 5 s while something is wrong', () => {
  assert.equal(pause(usual), 15);
  assert.equal(pause({ ...usual, wrong: true }), 5);
  assert.equal(pause({ ...usual, wrong: true, refresh: 2 }), 2);
});

test('it asks again before the data would turn stale', () => {
  assert.equal(pause({ ...usual, age: 4, limit: 15 }), 8);
  assert.equal(pause({ ...usual, age: 11.9, limit: 15 }), 1);
  assert.equal(pause({ ...usual, refresh: 600, age: 0, limit: 15 }), 12);
});

test('data that is too old already is not asked for any more often', () => {
  assert.equal(pause({ ...usual, wrong: true, age: 400, limit: 15 }), 5);
});

test('a viewer that does not answer is asked less and less often, and never given up', () => {
  const waits = [1, 2, 3, 4, 5, 6, 100].map((failures) => pause({ ...usual, failures }));
  assert.deepEqual(waits, [1, 2, 4, 8, 15, 15, 15]);
});

test('the age is the greater of the header and the difference of two times of the server', () => {
  const document = { generated_at: '2026-11-23T09:00:00Z' };
  const date = 'Mon, 23 Nov 2026 09:00:07 GMT';
  assert.equal(ageOf(new Headers({ Age: '3', Date: date }), document), 7);
  assert.equal(ageOf(new Headers({ Age: '9', Date: date }), document), 9);
  assert.equal(ageOf(new Headers({ Age: '3' }), document), 3);
  assert.equal(ageOf(new Headers({ Date: date }), document), 7);
  assert.equal(ageOf(new Headers({ Age: 'soon', Date: date }), document), 7);
  assert.equal(ageOf(new Headers(), document), null);
  assert.equal(ageOf(new Headers({ Date: date }), {}), null);
});

test('an answer that says why there is no data is one, and any other refusal is told by its status', async () => {
  const none = { viewer: { data: 'none' }, services: {} };
  const answer = (status, body) =>
    new Response(typeof body === 'string' ? body : JSON.stringify(body), { status });
  assert.deepEqual(await documentIn(answer(503, none)), none);
  assert.deepEqual(await documentIn(answer(200, none)), none);
  const crowded = { error: 'too many connections', hint: 'try again later' };
  for (const body of [crowded, '<h1>Bad gateway</h1>', 'null', { services: null }])
    await assert.rejects(documentIn(answer(503, body)), { message: 'it answered with status 503' });
  await assert.rejects(documentIn(answer(500, none)), { message: 'it answered with status 500' });
  await assert.rejects(documentIn(answer(200, crowded)), { message: 'its answer is not a status document' });
  await assert.rejects(documentIn(answer(200, '<h1>')), SyntaxError);
});
