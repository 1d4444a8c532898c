/**
 * A helper process that answers each message with one.
 *
 * @module
 */
import { fork } from "node:child_process"
import { once } from "node:events"

export interface Child<Request, Reply> extends AsyncDisposable {
  readonly ask: (request: Request) => Promise<Reply>
}

/** Starts `file` and waits for its first message, which says that it is ready. */
export const start = async <Request extends object, Reply, Ready = unknown>(
  file: URL,
  args: ReadonlyArray<string> = []
): Promise<Child<Request, Reply> & { readonly ready: Ready }> => {
  const child = fork(file, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const reply = async <A>(): Promise<A> => {
    const aborted = new AbortController()
    const died = once(child, "exit", { signal: aborted.signal }).then(([code]) => {
      throw new Error(`${[file.pathname, ...args].join(" ")} ended with ${code}`)
    })
    died.catch(() => {})
    try {
      const [message] = await Promise.race([once(child, "message", { signal: aborted.signal }), died])
      return message
    } finally {
      aborted.abort()
    }
  }
  return {
    ready: await reply<Ready>(),
    ask: (request) => {
      const answer = reply<Reply>()
      child.send(request)
      return answer
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null) return
      const exited = once(child, "exit")
      child.disconnect()
      await exited
    }
  }
}
