/**
 * A disk of the journal in memory, which several processes share: it fills up, forgets what was not flushed when the power fails, and a
 * process can end within any call.
 *
 * It decides nothing by itself. Whoever mounts it is asked before each call what becomes of it.
 *
 * @module
 */
import type { DiskFile, DiskLock, JournalDisk } from "@rekindle/engine"

/** A call of a process. `bytes` is the length of what it writes. */
export interface DiskCall {
  readonly operation: keyof JournalDisk | keyof DiskFile | keyof DiskLock
  readonly name: string
  readonly bytes: number
}

/**
 * What becomes of a call.
 *
 * - `Fails`: it throws, and nothing was done.
 * - `Short`: a write takes only this share of its bytes.
 * - `Dies`: the process ends when the call has done this share of its work. A call that writes nothing is done with a share of 1.
 */
export type DiskFate =
  | { readonly _tag: "Fails"; readonly code: "EIO" | "ENOSPC" | "EROFS" | "EMFILE" }
  | { readonly _tag: "Short"; readonly share: number }
  | { readonly _tag: "Dies"; readonly share: number }

/** The options of one process. */
export interface Mount {
  /** Decides what becomes of a call. Undefined: it succeeds. */
  readonly meets?: ((call: DiskCall) => DiskFate | undefined) | undefined
  /** Runs the end of a flush, at once or later. */
  readonly later?: ((end: () => void) => void) | undefined
}

/** The disk as one process has it. */
export interface MountedDisk {
  readonly disk: JournalDisk
  /** Ends the process: its locks are free, and its later calls throw and change nothing. */
  readonly kill: () => void
  readonly isDead: () => boolean
}

/** The call of a process that has ended. */
export class ProcessEnded extends Error {
  override readonly message = "the process has ended"
}

/** Content, and the space that is reserved for it. The space behind the content is zeros. */
interface Content {
  readonly bytes: Uint8Array
  readonly size: number
}

interface File {
  readonly id: bigint
  now: Content
  /** What a loss of power leaves. */
  flushed: Content
}

const nothing: Content = { bytes: new Uint8Array(), size: 0 }

const failure = (code: string, name: string): Error => Object.assign(new Error(`${code}: ${name}`), { code })

/** Makes a disk that has room for so many bytes. */
export const make = (capacity = Infinity) => {
  let names = new Map<string, File>()
  let flushedNames = new Map<string, File>()
  const holders = new Map<File, object>()
  const processes = new Set<() => void>()
  let ids = 0n

  const disk = { capacity }

  const free = (): number => {
    let taken = 0
    for (const { now } of names.values()) taken += now.size
    return Math.max(0, disk.capacity - taken)
  }

  const add = (name: string): File => {
    const file: File = { id: ++ids, now: nothing, flushed: nothing }
    names.set(name, file)
    return file
  }

  const grow = (file: File, name: string, size: number): void => {
    if (size <= file.now.size) return
    if (size - file.now.size > free()) throw failure("ENOSPC", name)
    file.now = { ...file.now, size }
  }

  /** Writes as many of the bytes as there is room for. */
  const write = (file: File, name: string, bytes: Uint8Array, position: number): number => {
    const length = Math.min(bytes.length, Math.max(0, file.now.size - position) + free())
    if (length <= 0 && bytes.length > 0) throw failure("ENOSPC", name)
    grow(file, name, position + length)
    const end = Math.max(file.now.bytes.length, position + length)
    const content = new Uint8Array(end)
    content.set(file.now.bytes)
    content.set(bytes.subarray(0, length), position)
    file.now = { ...file.now, bytes: content }
    return length
  }

  const zero = (file: File, name: string, length: number): void => {
    grow(file, name, length)
    const left = file.now.bytes.slice(0)
    left.fill(0, 0, length)
    file.now = { ...file.now, bytes: length >= left.length ? nothing.bytes : left }
  }

  const mount = ({ later = (end) => end(), meets }: Mount = {}): MountedDisk => {
    const self = {}
    let dead = false
    const kill = () => {
      dead = true
      for (const [file, holder] of holders) if (holder === self) holders.delete(file)
      processes.delete(kill)
    }
    processes.add(kill)

    /** Makes one call. `run` does a share of it. */
    const call = <A>(operation: DiskCall["operation"], name: string, run: (share: number) => A, bytes = 0): A => {
      if (dead) throw new ProcessEnded()
      const fate = meets?.({ operation, name, bytes })
      // Whoever was asked may have ended the process.
      if (dead) throw new ProcessEnded()
      if (fate === undefined) return run(1)
      if (fate._tag === "Fails") throw failure(fate.code, name)
      if (fate._tag === "Short") return run(fate.share)
      if (fate.share === 1 || bytes > 0) run(fate.share)
      kill()
      throw new ProcessEnded()
    }

    const opened = (name: string, file: File): DiskFile => ({
      id: file.id,
      write: (bytes, position) =>
        call(
          "write",
          name,
          (share) => write(file, name, bytes.subarray(0, Math.ceil(bytes.length * share)), position),
          bytes.length
        ),
      zero: (length) => call("zero", name, (share) => zero(file, name, Math.ceil(length * share)), length),
      sync: () =>
        call("sync", name, () => {
          file.flushed = file.now
        }),
      flush: (done) => {
        try {
          call("flush", name, () => {
            const { now } = file
            later(() => {
              if (dead) return
              file.flushed = now
              done(undefined)
            })
          })
        } catch (error) {
          if (!dead) later(() => (dead ? undefined : done(error)))
        }
      },
      close: () => call("close", name, () => undefined)
    })

    const lock = (name: string): DiskLock | undefined => {
      const file = names.get(name) ?? add(name)
      if (file.now.size > 0) throw new Error(`${name} is not a lock`)
      if (holders.has(file)) return undefined
      holders.set(file, self)
      return {
        release: () =>
          call("release", name, () => {
            holders.delete(file)
          })
      }
    }

    return {
      kill,
      isDead: () => dead,
      disk: {
        pathOf: (name) => (name === undefined ? "model" : `model/${name}`),
        names: () => call("names", "", () => [...names.keys()]),
        read: (name) =>
          call("read", name, () => {
            const file = names.get(name)
            if (file === undefined) throw failure("ENOENT", name)
            return file.now.bytes
          }),
        idOf: (name) => call("idOf", name, () => names.get(name)?.id),
        create: (name) =>
          call("create", name, () => {
            if (names.has(name)) throw failure("EEXIST", name)
            return opened(name, add(name))
          }),
        remove: (name) =>
          call("remove", name, () => {
            names.delete(name)
          }),
        sync: () =>
          call("sync", "", () => {
            flushedNames = new Map(names)
          }),
        lock: (name) => call("lock", name, () => lock(name))
      }
    }
  }

  return Object.assign(disk, {
    mount,
    free,
    /** The files with their content, without the zeros at its end. */
    files: (): ReadonlyMap<string, Uint8Array> => new Map([...names].map(([name, { now }]) => [name, now.bytes])),
    /** Fails the power: every process ends, and a file keeps what was not flushed only if it survives. */
    losePower: (survives: (name: string) => boolean = () => false): void => {
      for (const kill of processes) kill()
      const left = new Map(flushedNames)
      for (const [name, file] of names) if (survives(name)) left.set(name, file)
      for (const [name, file] of left) if (!survives(name)) file.now = file.flushed
      names = left
      flushedNames = new Map(left)
    }
  })
}

/** A disk that several processes share. */
export type ModelDisk = ReturnType<typeof make>
