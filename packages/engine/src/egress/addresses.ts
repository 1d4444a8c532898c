/**
 * Distinguishes internal addresses from those on the public internet.
 *
 * The sources are IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890), as updated on 2025-10-09. Every block in them
 * counts as internal, even a globally reachable one, because no provider is in any of them. Three things are added: multicast, site-local
 * addresses (RFC 3879), and the public address by which Azure serves its own virtual machines.
 *
 * @module
 */

/** The prefix of IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2). With it one table serves both families. */
const mapped = 0xffff_0000_0000n

const special = [
  // IANA IPv4 Special-Purpose Address Registry
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
  // multicast (RFC 5771), and the platform address of Azure's virtual machines
  "224.0.0.0/4",
  "168.63.129.16/32",
  // IANA IPv6 Special-Purpose Address Registry. `::/96` holds the unspecified address, loopback and the IPv4-compatible ones.
  "::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "100:0:0:1::/64",
  // all protocol assignments: Teredo, benchmarking, AMT, AS112, both ORCHIDs, drone identifiers
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "2620:4f:8000::/48",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  // IPv4-translated (RFC 2765), site-local (RFC 3879), multicast (RFC 4291)
  "::ffff:0:0:0/96",
  "fec0::/10",
  "ff00::/8"
]

const ipv4 = (text: string): bigint | undefined => {
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
  return octets?.every((octet) => octet < 256) === true
    ? octets.reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n)
    : undefined
}

/** A host name without the brackets of an IPv6 literal. */
export const unbracketed = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1")

/** An address as a number of 128 bits, without its zone (`%eth0`). Undefined if the text is not an address. */
const bitsOf = (address: string): bigint | undefined => {
  const plain = address.replace(/%.*$/, "")
  const four = ipv4(plain)
  if (four !== undefined) return mapped | four
  // An IPv6 address may end in a dotted IPv4 address, which stands for two groups.
  const dotted = ipv4(plain.replace(/^.*:/, ""))
  const text =
    dotted === undefined
      ? plain
      : plain.replace(/[^:]*$/, `${(dotted >> 16n).toString(16)}:${(dotted & 0xffffn).toString(16)}`)
  const [head = "", tail, ...more] = text.split("::")
  const groups = (part: string) => (part === "" ? [] : part.split(":"))
  const left = groups(head)
  const right = groups(tail ?? "")
  const missing = 8 - left.length - right.length
  if (more.length > 0 || (tail === undefined ? missing !== 0 : missing < 1)) return undefined
  const all = [...left, ...Array.from({ length: missing }, () => "0"), ...right]
  return all.every((group) => /^[\da-f]{1,4}$/i.test(group))
    ? all.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n)
    : undefined
}

interface Network {
  readonly base: bigint
  readonly shift: bigint
}

/** Parses `10.0.0.0/8`, or a single address. Empty if the text is neither. */
const networksOf = (text: string): ReadonlyArray<Network> => {
  const [address = "", prefix, ...more] = text.split("/")
  const bits = bitsOf(address)
  const width = address.includes(":") ? 128 : 32
  const length = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (bits === undefined || more.length > 0 || !(length <= width)) return []
  const shift = BigInt(width - length)
  return [{ base: bits >> shift, shift }]
}

const networks = special.flatMap(networksOf)

/** Whether an address is in a network such as `10.0.0.0/8`, or equals a single address. */
export const isWithin = (network: string, address: string): boolean => {
  const bits = bitsOf(address)
  return bits !== undefined && networksOf(network).some(({ base, shift }) => bits >> shift === base)
}

/** The prefix by which IPv6-only networks reach IPv4 addresses (RFC 6052). The IPv4 address in it is what counts. */
const nat64 = 0x64_ff9b_0000_0000_0000_0000n

/** Whether an address is private, loopback, link-local or otherwise special. Text that is not an address counts as internal. */
export const isInternalAddress = (address: string): boolean => {
  const bits = bitsOf(address)
  if (bits === undefined) return true
  const reached = bits >> 32n === nat64 ? mapped | (bits & 0xffff_ffffn) : bits
  return networks.some(({ base, shift }) => reached >> shift === base)
}
