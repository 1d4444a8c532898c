/**
 * Maps that do not grow with the accounts, configs or issuers that a process meets in its life.
 *
 * @module
 */

/** Keeps an entry in the map, as its newest. Beyond `most` entries those that were kept longest ago go. */
export const keepNewest = <K, V>(map: Map<K, V>, key: K, value: V, most: number): void => {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= most) return
    map.delete(oldest)
  }
}
