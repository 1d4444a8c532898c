/**
 * Maps with an upper bound, so that memory does not grow with the number of accounts, configs or issuers that a process meets.
 *
 * @module
 */

/** Adds an entry to the map, as its newest. Beyond `most` entries the oldest are removed. */
export const keepNewest = <K, V>(map: Map<K, V>, key: K, value: V, most: number): void => {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= most) return
    map.delete(oldest)
  }
}
