/**
 * The services as Promises, for applications that are not written in Effect.
 *
 * An application gets them from `@rekindle/engine/Promise` (`engine`), `@rekindle/platform/Promise` (`client`) or `@rekindle/testing/Promise`
 * (`script`). This module has what these share.
 *
 * **Details**
 *
 * - Every call is the call of the same name on {@link ConnectedAccounts} or {@link Connections}. A stream becomes an `AsyncIterable`, an `Option`
 *   a value or `undefined`, and an id may be any string. All other data are the same: dates are `DateTime`, durations take `"5 minutes"`.
 * - A failure rejects with the same error, which is an `Error` with `_tag` and, if the request may have been sent, `disposition`.
 * - `with({ signal })` gives the same services with an `AbortSignal`. An abort ends the wait of this caller, and the call rejects with the
 *   reason of the signal. A renewal that has been sent is completed, and its tokens are stored.
 *
 * **Gotchas**
 *
 * - Secrets are `Redacted`: what is logged of them by accident is `<redacted>`, also in a template string. {@link reveal} reads one,
 *   {@link secret} makes one.
 * - Close what you opened: `await using`, or `dispose()`. It waits until renewals in flight have ended.
 *
 * @module
 */
import { Cause, Effect, Exit, Layer, ManagedRuntime, Option, Redacted, Schema, Stream, type Types } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { ConnectedAccountId } from "./ConnectedAccount.ts"
import { ConnectedAccounts, CurrentProject, type RefreshOptions } from "./ConnectedAccounts.ts"
import { Connections } from "./Connections.ts"
import type { ConsentCallback } from "./ConsentCallback.ts"
import { ConnectionNotReady } from "./resilience/Consent.ts"
import { withRefresh } from "./resilience/WithRefresh.ts"

/** Makes a secret, such as the `secrets` of an account. */
export const secret = (text: string): Redacted.Redacted<string> => Redacted.make(text)

/** Reads a secret, such as an access token that goes into a header. */
export const reveal = (secret: Redacted.Redacted<string>): string => Redacted.value(secret)

/** What holds for the calls made through `with`. */
export interface CallContext {
  /** Ends the wait of the caller. */
  readonly signal?: AbortSignal | undefined
  /** The project that the calls are made for. Default: the one project of an application that has no others. */
  readonly projectId?: string | undefined
}

/** Which failures of a call mean that its credential was refused. */
export interface WithRefreshOptions {
  /** Whether what the call rejected with means that, such as a 401 of the third party. Default: nothing does. */
  readonly isAuthFailure?: ((error: unknown) => boolean) | undefined
  /** Options of the refresh. */
  readonly refresh?: RefreshOptions | undefined
}

type WithText<Args extends ReadonlyArray<unknown>> = Args extends [ConnectedAccountId, ...infer Rest]
  ? [id: string, ...rest: Rest]
  : Args

type Promised<Member> = Member extends (...args: infer Args) => Effect.Effect<infer A, unknown>
  ? (...args: WithText<Args>) => Promise<A extends Option.Option<infer B> ? B | undefined : A>
  : Member extends (...args: infer Args) => Stream.Stream<infer A, unknown>
    ? (...args: Args) => AsyncIterable<A>
    : { readonly [Name in keyof Member]: Promised<Member[Name]> }

/** `ConnectedAccounts` as Promises. */
export interface Accounts extends Types.Simplify<Promised<ConnectedAccounts["Service"]>> {
  /**
   * Runs `call`. If it rejects with what `isAuthFailure` accepts, or with the `ConnectionNotReady` of `accessToken`, it refreshes the
   * account once, together with all others, and runs `call` again. Rejects with `ConsentRequired`, which carries the link, whenever a
   * person has to consent, and otherwise with what `call` rejected with.
   */
  readonly withRefresh: <A>(
    id: string,
    call: (signal: AbortSignal) => Promise<A>,
    options?: WithRefreshOptions
  ) => Promise<A>
}

/** `ConnectedAccounts` and `Connections` as Promises. */
export interface AllAccounts extends Accounts, Types.Simplify<Promised<Connections["Service"]>> {
  /**
   * A `fetch` whose requests carry the account's credential, so that the program never holds it (`Connections.authorize`). It sends it to
   * the API hosts of the auth config only, renews it once on a 401, follows no redirect, and rejects with `ConsentRequired`, which carries
   * the link, whenever a person has to consent.
   */
  readonly fetchAs: (id: string) => (input: string | URL | Request, init?: RequestInit) => Promise<Response>
}

/** What an HTTP client of a server gives. */
export interface Client extends AllAccounts, AsyncDisposable {
  /** The same services, with a signal. The project is that of the key, whatever `projectId` says. */
  readonly with: (context: CallContext) => AllAccounts
  readonly dispose: () => Promise<void>
}

/** What an engine or a script gives. */
export interface Application<Provided = ConnectedAccounts | Connections | ConsentCallback>
  extends AllAccounts, AsyncDisposable {
  /** The same services, with a signal or for another project. */
  readonly with: (context: CallContext) => AllAccounts
  readonly dispose: () => Promise<void>
  /** The same services for a part of the program that is written in Effect, such as server routes. It does not outlive this object. */
  readonly layer: Layer.Layer<Provided>
}

/** It was used after `dispose` (`not-sent`), or `dispose` ended the call (`ambiguous`: read the account to see whether it was refreshed). */
export class Disposed extends Schema.TaggedError<Disposed>("@rekindle/core/Promise/Disposed")("Disposed", {
  message: Schema.String,
  disposition: Schema.Literals(["not-sent", "ambiguous"])
}) {}

const unsent = () => new Disposed({ message: "Rekindle is disposed; nothing was sent", disposition: "not-sent" })
const ended = () => new Disposed({ message: "Rekindle was disposed during the call", disposition: "ambiguous" })

/** What a call of the application rejected with. */
class Rejected extends Schema.TaggedError<Rejected>("@rekindle/core/Promise/Rejected")("Rejected", {
  reason: Schema.Unknown
}) {}

/** Runs effects as Promises, until it is disposed. */
interface Runner<R> {
  readonly run: <A, E>(effect: Effect.Effect<A, E, R>, context: CallContext) => Promise<A>
  readonly iterate: <A, E>(stream: Stream.Stream<A, E, R>, context: CallContext) => AsyncIterable<A>
  readonly dispose: () => Promise<void>
}

const runnerOf = <R, E>(runtime: ManagedRuntime.ManagedRuntime<R, E>): Runner<R> => {
  const disposal = new AbortController()
  let disposing: Promise<void> | undefined

  const run: Runner<R>["run"] = async (effect, { projectId, signal }) => {
    if (disposal.signal.aborted) throw unsent()
    signal?.throwIfAborted()
    const exit = await runtime.runPromiseExit(
      projectId === undefined ? effect : Effect.provideService(effect, CurrentProject, projectId),
      signal === undefined ? {} : { signal }
    )
    if (Exit.isSuccess(exit)) return exit.value
    if (Cause.hasInterruptsOnly(exit.cause)) {
      signal?.throwIfAborted()
      disposal.signal.throwIfAborted()
    }
    throw reasonOf(Cause.squash(exit.cause))
  }

  return {
    run,
    iterate: async function* (stream, context) {
      const signals = [disposal.signal, ...(context.signal === undefined ? [] : [context.signal])]
      const ending = Stream.interruptWhen(stream, abortOf(AbortSignal.any(signals)))
      try {
        yield* await run(Stream.toAsyncIterableEffect(ending), context)
      } catch (error) {
        throw reasonOf(error)
      }
    },
    dispose: () => {
      disposal.abort(ended())
      return (disposing ??= runtime.dispose())
    }
  }
}

const reasonOf = (error: unknown): unknown => (error instanceof Rejected ? error.reason : error)

/** Fails with the reason of a signal once it is aborted. */
const abortOf = (signal: AbortSignal): Effect.Effect<never, Rejected> =>
  Effect.callback((resume) => {
    const abort = () => resume(Effect.fail(new Rejected({ reason: signal.reason })))
    if (signal.aborted) return abort()
    signal.addEventListener("abort", abort, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", abort))
  })

/** The service that gets the id refuses a text that is none. */
const idOf = (text: string): ConnectedAccountId => ConnectedAccountId.make(text, { disableChecks: true })

const accountsOf = ({ run }: Runner<ConnectedAccounts>, context: CallContext): Accounts => ({
  refresh: (id, options) =>
    run(
      ConnectedAccounts.use((accounts) => accounts.refresh(idOf(id), options)),
      context
    ),
  get: (id) =>
    run(
      ConnectedAccounts.use((accounts) => accounts.get(idOf(id))),
      context
    ),
  withRefresh: (id, call, { isAuthFailure = () => false, refresh } = {}) =>
    run(
      withRefresh(
        idOf(id),
        Effect.tryPromise({
          try: call,
          catch: (reason) => (reason instanceof ConnectionNotReady ? reason : new Rejected({ reason }))
        }),
        { isAuthFailure: (error) => error._tag === "Rejected" && isAuthFailure(error.reason), refresh }
      ),
      context
    )
})

const allAccountsOf = (
  runner: Runner<ConnectedAccounts | Connections | HttpClient.HttpClient>,
  context: CallContext
): AllAccounts => {
  const run = <A, E>(use: (connections: Connections["Service"]) => Effect.Effect<A, E>) =>
    runner.run(Connections.use(use), context)
  const found = <A, E>(use: (connections: Connections["Service"]) => Effect.Effect<Option.Option<A>, E>) =>
    run((connections) => Effect.map(use(connections), Option.getOrUndefined))
  return {
    ...accountsOf(runner, context),
    authConfigs: {
      register: (config) => run(({ authConfigs }) => authConfigs.register(config)),
      get: (id) => found(({ authConfigs }) => authConfigs.get(id)),
      list: (options) => run(({ authConfigs }) => authConfigs.list(options)),
      count: (filter) => run(({ authConfigs }) => authConfigs.count(filter)),
      update: (id, changes) => run(({ authConfigs }) => authConfigs.update(id, changes)),
      enable: (id) => run(({ authConfigs }) => authConfigs.enable(id)),
      disable: (id) => run(({ authConfigs }) => authConfigs.disable(id)),
      remove: (id) => run(({ authConfigs }) => authConfigs.remove(id))
    },
    create: (account) => run(({ create }) => create(account)),
    find: (owner) => found(({ find }) => find(owner)),
    list: (options) => run(({ list }) => list(options)),
    count: (filter) => run(({ count }) => count(filter)),
    link: (id, options) => run(({ link }) => link(idOf(id), options)),
    update: (id, changes) => run(({ update }) => update(idOf(id), changes)),
    replaceSecrets: (id, secrets) => run(({ replaceSecrets }) => replaceSecrets(idOf(id), secrets)),
    enable: (id) => run(({ enable }) => enable(idOf(id))),
    disable: (id) => run(({ disable }) => disable(idOf(id))),
    revoke: (id, options) => run(({ revoke }) => revoke(idOf(id), options)),
    remove: (id) => run(({ remove }) => remove(idOf(id))),
    accessToken: (id, atLeast) => run(({ accessToken }) => accessToken(idOf(id), atLeast)),
    credential: (id, atLeast) => run(({ credential }) => credential(idOf(id), atLeast)),
    authorization: (id, request) => run(({ authorization }) => authorization(idOf(id), request)),
    events: (options) =>
      runner.iterate(Stream.unwrap(Effect.map(Connections, ({ events }) => events(options))), context),
    fetchAs: (id) => async (input, init) => {
      const request = new Request(input, init)
      // A body that was read can be sent again after a 401.
      const body =
        request.body === null
          ? HttpBody.empty
          : HttpBody.uint8Array(
              new Uint8Array(await request.arrayBuffer()),
              request.headers.get("content-type") ?? undefined
            )
      const outgoing = HttpClientRequest.setBody(HttpClientRequest.fromWeb(request), body)
      const signal = AbortSignal.any([request.signal, ...(context.signal === undefined ? [] : [context.signal])])
      const response = await runner.run(
        HttpClient.HttpClient.use((client) => Connections.authorize(client, idOf(id)).execute(outgoing)),
        { ...context, signal }
      )
      return Option.getOrThrow(HttpClientResponse.toWeb(response))
    }
  }
}

/** Makes a client of a layer. Throws what the layer fails with. */
export const makeClient = <E>(
  layer: Layer.Layer<ConnectedAccounts | Connections | HttpClient.HttpClient, E>
): Client => {
  const runtime = ManagedRuntime.make(layer)
  runtime.runSync(Effect.void)
  const runner = runnerOf(runtime)
  return {
    ...allAccountsOf(runner, {}),
    with: (context) => allAccountsOf(runner, context),
    dispose: runner.dispose,
    [Symbol.asyncDispose]: runner.dispose
  }
}

/** Makes an application of a layer. Rejects with what the layer fails with. */
export const makeApplication = async <Provided, E>(
  layer: Layer.Layer<Provided | ConnectedAccounts | Connections, E>
): Promise<Application<Provided | ConnectedAccounts | Connections>> => {
  const runtime = ManagedRuntime.make(Layer.merge(layer, FetchHttpClient.layer))
  const runner = runnerOf(runtime)
  const context = await runner
    .run(Effect.context<Provided | ConnectedAccounts | Connections>(), {})
    .catch(async (error: unknown) => {
      // What was opened before the failure is closed.
      await runner.dispose()
      throw error
    })
  return {
    ...allAccountsOf(runner, {}),
    with: (context) => allAccountsOf(runner, context),
    dispose: runner.dispose,
    [Symbol.asyncDispose]: runner.dispose,
    layer: Layer.succeedContext(context)
  }
}
