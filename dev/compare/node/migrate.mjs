// The migration that `saved-objects bench migrate` measures, as a plain read-transform-write loop with the official client of
// Node.js: a page, its transform, its bulk, the next page. The documents are those of the benchmark (src/cli/bench/token.rs).

import { randomBytes, randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Client } from '@elastic/elasticsearch';

const { values: options } = parseArgs({
  options: {
    'elasticsearch-url': { type: 'string', default: 'http://127.0.0.1:9200' },
    docs: { type: 'string', default: '100000' },
    way: { type: 'string', default: 'in-place' },
    runs: { type: 'string', default: '3' },
  },
});
const DOCS = Number(options.docs);
const RUNS = Number(options.runs);
const PAGE = 1000;
const SOURCE = 'saved-objects-compare-node-000001';
const FILL = 'saved-objects-compare-node-fill';
const TARGET = 'saved-objects-compare-node-000002';
const ALIAS = 'saved-objects-compare-node';
const client = new Client({ node: options['elasticsearch-url'], requestTimeout: 120_000 });

const keyword = { type: 'keyword' };
const mappings = {
  dynamic: 'strict',
  properties: {
    type: keyword,
    managed: { type: 'boolean' },
    references: { type: 'nested', properties: { id: keyword, name: keyword, type: keyword } },
    typeMigrationVersion: keyword,
    created_at: { type: 'date' },
    updated_at: { type: 'date' },
    bench_token: { dynamic: false, properties: { connectorId: keyword, tokenType: keyword, scope: keyword } },
  },
};

const index = (name, settings = {}) =>
  client.indices.create({
    index: name,
    settings: { number_of_shards: 1, number_of_replicas: 0, hidden: true, refresh_interval: '1s', ...settings },
    mappings,
  });

function seeded(number) {
  const now = new Date().toISOString();
  const secret = () => randomBytes(267).toString('base64');
  return {
    type: 'bench_token',
    references: [],
    managed: false,
    typeMigrationVersion: '10.1.0',
    created_at: now,
    updated_at: now,
    bench_token: {
      connectorId: `connector-${Math.floor(number / 10)}`,
      createdAt: now,
      expiresAt: '2030-01-01T00:00:00.000Z',
      refreshToken: secret(),
      refreshTokenExpiresAt: '2030-02-01T00:00:00.000Z',
      token: secret(),
      tokenType: `token-${number % 10}`,
    },
  };
}

async function restore() {
  await client.indices.delete({ index: [SOURCE, FILL, TARGET], ignore_unavailable: true });
  await index(SOURCE);
  await client.indices.putAlias({ index: SOURCE, name: ALIAS });
  for (let first = 0; first < DOCS; first += PAGE) {
    const operations = [];
    for (let number = first; number < Math.min(first + PAGE, DOCS); number += 1) {
      operations.push({ create: { _id: `bench_token:${randomUUID()}` } }, seeded(number));
    }
    const answer = await client.bulk({ index: SOURCE, operations });
    if (answer.errors) throw new Error('a document could not be seeded');
  }
  await client.indices.refresh({ index: SOURCE });
}

function upgraded(document) {
  const attributes = { ...document.bench_token };
  attributes.scope ??= 'shared';
  return { ...document, bench_token: attributes, typeMigrationVersion: '10.2.0' };
}

/** Gives every page of what the query finds to `write`, one after the other. */
async function eachPage(query, write) {
  let { id } = await client.openPointInTime({ index: SOURCE, keep_alive: '5m' });
  let after;
  let done = 0;
  for (;;) {
    const page = await client.search({
      pit: { id, keep_alive: '5m' },
      query,
      size: PAGE,
      sort: [{ _shard_doc: 'asc' }],
      search_after: after,
      track_total_hits: false,
      seq_no_primary_term: true,
    });
    const { hits } = page.hits;
    id = page.pit_id ?? id;
    if (hits.length === 0) break;
    const answer = await write(hits);
    if (answer.errors) throw new Error('a document could not be written');
    done += hits.length;
    after = hits.at(-1).sort;
    if (hits.length < PAGE) break;
  }
  await client.closePointInTime({ id });
  return done;
}

const outdated = { bool: { filter: [{ bool: { must_not: [{ terms: { typeMigrationVersion: ['10.2.0'] } }] } }] } };

async function inPlace() {
  const rewrite = (hits) =>
    client.bulk({
      index: SOURCE,
      operations: hits.flatMap((hit) => [
        { index: { _id: hit._id, if_seq_no: hit._seq_no, if_primary_term: hit._primary_term } },
        upgraded(hit._source),
      ]),
    });
  const done = await eachPage(outdated, rewrite);
  await client.indices.refresh({ index: SOURCE });
  await eachPage(outdated, rewrite);
  return done;
}

async function copy() {
  await client.indices.addBlock({ index: SOURCE, block: 'write' });
  await index(FILL, { refresh_interval: -1 });
  const done = await eachPage({ match_all: {} }, (hits) =>
    client.bulk({
      index: FILL,
      operations: hits.flatMap((hit) => [{ create: { _id: hit._id } }, upgraded(hit._source)]),
    }),
  );
  await client.indices.addBlock({ index: FILL, block: 'write' });
  await client.indices.clone({
    index: FILL,
    target: TARGET,
    wait_for_active_shards: 1,
    settings: { 'index.blocks.write': null, 'index.refresh_interval': '1s', 'index.number_of_replicas': 0 },
  });
  await client.cluster.health({ index: TARGET, wait_for_status: 'green', timeout: '60s' });
  await client.indices.updateAliases({
    actions: [{ remove: { index: SOURCE, alias: ALIAS } }, { add: { index: TARGET, alias: ALIAS } }],
  });
  await client.indices.delete({ index: FILL });
  return done;
}

const rates = [];
for (let run = 0; run <= RUNS; run += 1) {
  await restore();
  const cpu = process.cpuUsage();
  const began = process.hrtime.bigint();
  const done = await (options.way === 'copy' ? copy() : inPlace());
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  if (done !== DOCS) throw new Error(`${done} of ${DOCS} documents were written`);
  const rate = done / seconds;
  const cost = ((user + system) / done).toFixed(1);
  console.error(`${run === 0 ? 'warm-up' : 'run'}: ${rate.toFixed(0)} documents/s, ${cost} µs of processor time each`);
  if (run > 0) rates.push(rate);
}
await client.indices.delete({ index: [SOURCE, FILL, TARGET], ignore_unavailable: true });
rates.sort((a, b) => a - b);
console.log(JSON.stringify({ measure: `node_${options.way}`, documents: DOCS, rates, median: rates[rates.length >> 1] }));
