import { assert, describe, it } from "@effect/vitest"
import {
  inService,
  isOver,
  isUsable,
  type StatusEvent,
  StatusReason,
  transition,
  visibleStatus
} from "@rekindle/engine/Account"
import { KnownStatus } from "@rekindle/core"
import { Sealed } from "@rekindle/engine/CredentialVault"
import { Schema } from "effect"

type State = Parameters<typeof transition>[0]
type Status = State["status"]

const statuses = KnownStatus.literals
const reasons = [null, ...StatusReason.literals]

const events = [
  { _tag: "Renewed" },
  { _tag: "GrantDead", reason: "grant_dead" },
  { _tag: "GrantDead", reason: "credential_rejected" },
  { _tag: "CredentialDead", reason: "grant_dead" },
  { _tag: "CredentialDead", reason: "rotation_response_lost" },
  { _tag: "CredentialDead", reason: "credential_rejected" },
  { _tag: "ConsentStarted" },
  { _tag: "ConsentCompleted" },
  { _tag: "ConsentRefused", reason: "consent_denied" },
  { _tag: "ConsentRefused", reason: "consent_failed" },
  { _tag: "ConsentLapsed" },
  { _tag: "Disabled" },
  { _tag: "Enabled" },
  { _tag: "Revoked" }
] as const satisfies ReadonlyArray<StatusEvent>

describe("the status machine", () => {
  // Rows: events; columns: the status before. "." stays. After the slash: what is announced.
  const order = ["INITIALIZING", "INITIATED", "ACTIVE", "FAILED", "EXPIRED", "INACTIVE", "REVOKED"] as const
  const on = "ACTIVE/renewed"
  const consented = "ACTIVE/consent_completed"
  const table: Record<StatusEvent["_tag"], readonly [string, string, string, string, string, string, string]> = {
    Renewed: [on, on, on, on, "ACTIVE/renewed recovered", "./renewed", "./renewed"],
    GrantDead: [".", ".", "ACTIVE/expiring", ".", ".", ".", "."],
    CredentialDead: [".", ".", "EXPIRED/expired", ".", ".", ".", "."],
    ConsentStarted: [
      "INITIATED/consent_started",
      "./consent_started",
      "./consent_started",
      "INITIATED/consent_started",
      "./consent_started",
      ".",
      "."
    ],
    ConsentCompleted: [consented, consented, consented, consented, "ACTIVE/consent_completed recovered", ".", "."],
    ConsentRefused: ["FAILED", "FAILED", ".", ".", ".", ".", "."],
    ConsentLapsed: [".", "EXPIRED/expired", ".", ".", ".", ".", "."],
    Disabled: [".", ".", "INACTIVE", ".", ".", ".", "."],
    Enabled: [".", ".", ".", ".", ".", "ACTIVE", "."],
    Revoked: ["REVOKED", "REVOKED", "REVOKED", "REVOKED", "REVOKED", "REVOKED", "."]
  }
  const expectedReason = (to: Status, event: StatusEvent): StatusReason | null => {
    if ("reason" in event) return event.reason
    return to === "EXPIRED" ? "consent_lapsed" : to === "INACTIVE" ? "disabled" : to === "REVOKED" ? "revoked" : null
  }

  const cells = events.flatMap((event) =>
    order.map(
      (status, column) =>
        [
          status,
          "reason" in event ? `${event._tag} ${event.reason}` : event._tag,
          event,
          table[event._tag][column] ?? ""
        ] as const
    )
  )

  it.each(cells)("%s on %s", (status, _, event, cell) => {
    const [to = "", announced = ""] = cell.split("/")
    const before = status === "ACTIVE" ? null : "consent_denied"
    const from: State = { status, statusReason: before }
    const next = transition(from, event)
    assert.strictEqual(next.status, to === "." ? status : to)
    assert.strictEqual(next.announce.join(" "), announced)
    assert.strictEqual(next.statusReason, to === "." ? before : expectedReason(next.status, event))
  })

  it("keeps the reason why an account began to expire, and says it once", () => {
    const expiring: State = { status: "ACTIVE", statusReason: "rotation_response_lost" }
    assert.deepStrictEqual(transition(expiring, { _tag: "GrantDead", reason: "grant_dead" }), {
      ...expiring,
      announce: []
    })
    assert.deepStrictEqual(transition(expiring, { _tag: "CredentialDead", reason: "grant_dead" }), {
      status: "EXPIRED",
      statusReason: "rotation_response_lost",
      announce: ["expired"]
    })
    for (const event of [{ _tag: "Renewed" }, { _tag: "ConsentCompleted" }] as const)
      assert.deepInclude(transition(expiring, event), { status: "ACTIVE", statusReason: null })
  })

  it("covers every status there is", () => {
    assert.sameMembers([...order], [...statuses])
  })
})

const state = { reason: Schema.Literals(StatusReason.literals), status: KnownStatus }
const history = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: events.length - 1 })))

const replay = (
  from: State,
  indices: ReadonlyArray<number>,
  check: (before: State, event: StatusEvent, after: ReturnType<typeof transition>) => void
) => {
  let current = from
  for (const index of indices) {
    const event = events[index]
    if (event === undefined) continue
    const after = transition(current, event)
    check(current, event, after)
    current = after
  }
}

describe("over any history, the status machine", () => {
  it.prop(
    "never demotes an active account but for a dead credential or by hand",
    { ...state, history },
    ({ history, reason, status }) => {
      replay({ status, statusReason: reason }, history, (before, event, after) => {
        if (before.status !== "ACTIVE" || after.status === "ACTIVE") return
        assert.include(["CredentialDead", "Disabled", "Revoked"], event._tag)
      })
    }
  )

  it.prop(
    "lets nothing but a hand move an account out of INACTIVE, and nothing out of REVOKED",
    { ...state, history },
    ({ history, reason, status }) => {
      replay({ status, statusReason: reason }, history, (before, event, after) => {
        if (before.status === "REVOKED") assert.strictEqual(after.status, "REVOKED")
        if (before.status === "INACTIVE" && after.status !== "INACTIVE")
          assert.include(["Enabled", "Revoked"], event._tag)
      })
    }
  )

  it.prop("reaches ACTIVE only with a credential or by hand", { ...state, history }, ({ history, reason, status }) => {
    replay({ status, statusReason: reason }, history, (before, event, after) => {
      if (before.status === "ACTIVE" || after.status !== "ACTIVE") return
      assert.include(["Renewed", "ConsentCompleted", "Enabled"], event._tag)
    })
  })

  it.prop(
    "announces nothing when nothing happened, and recoveries and expiries exactly where they are",
    { ...state, history },
    ({ history, reason, status }) => {
      replay({ status, statusReason: reason }, history, (before, event, after) => {
        const moved = before.status !== after.status
        const happening =
          event._tag === "Renewed" || event._tag === "ConsentStarted" || event._tag === "ConsentCompleted"
        const expires = before.status === "ACTIVE" && before.statusReason === null && event._tag === "GrantDead"
        assert.strictEqual(after.announce.includes("expiring"), expires)
        if (!moved && !happening && !expires) assert.deepStrictEqual(after.announce, [])
        assert.strictEqual(after.announce.includes("expired"), moved && after.status === "EXPIRED")
        assert.strictEqual(
          after.announce.includes("recovered"),
          moved && before.status === "EXPIRED" && after.status === "ACTIVE"
        )
        assert.strictEqual(after.announce.includes("renewed"), event._tag === "Renewed")
      })
    }
  )

  it.prop(
    "gives a reason to every status that needs explaining, and to an active account only if its grant is dead",
    { history },
    ({ history }) => {
      replay({ status: "INITIALIZING", statusReason: null }, history, (before, event, after) => {
        const explained = ["FAILED", "EXPIRED", "INACTIVE", "REVOKED"].includes(after.status)
        const expiring =
          after.status === "ACTIVE" &&
          before.status === "ACTIVE" &&
          (event._tag === "GrantDead" ||
            (before.statusReason !== null && event._tag !== "Renewed" && event._tag !== "ConsentCompleted"))
        assert.strictEqual(after.statusReason !== null, explained || expiring)
      })
    }
  )

  it.prop(
    "makes nothing of an event that comes twice",
    { ...state, index: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: events.length - 1 })) },
    ({ index, reason, status }) => {
      const event = events[index] ?? { _tag: "Renewed" as const }
      const once = transition({ status, statusReason: reason }, event)
      const twice = transition(once, event)
      assert.deepStrictEqual([twice.status, twice.statusReason], [once.status, once.statusReason])
    }
  )
})

describe("the visible status", () => {
  const now = 1_000
  const credential = Sealed.make("sealed")
  const scheme = "OAUTH2"
  const seen = (
    status: Status,
    consentUntil: number | null,
    statusReason: StatusReason | null = null,
    expiresAt: number | null = now
  ) => {
    const visible = visibleStatus({ status, statusReason, consentUntil, credential, expiresAt, scheme }, now)
    return `${visible.status} ${visible.statusReason}`
  }

  it("of an account that is not active is INITIATED while a consent is pending", () => {
    assert.strictEqual(seen("INITIALIZING", now + 1), "INITIATED null")
    assert.strictEqual(seen("INITIATED", now + 1), "INITIATED null")
    assert.strictEqual(seen("FAILED", now + 1, "consent_denied"), "INITIATED null")
    assert.strictEqual(seen("EXPIRED", now + 1, "grant_dead"), "INITIATED null")
  })

  it("of an active, disabled or revoked account is the stored one", () => {
    for (const consentUntil of [null, now - 1, now, now + 1]) {
      assert.strictEqual(seen("ACTIVE", consentUntil), "ACTIVE null")
      assert.strictEqual(seen("INACTIVE", consentUntil, "disabled"), "INACTIVE disabled")
      assert.strictEqual(seen("REVOKED", consentUntil, "revoked"), "REVOKED revoked")
    }
  })

  it("of an account whose grant is dead is ACTIVE to the end of its access token, and then as that of one that is EXPIRED", () => {
    for (const expiresAt of [null, now + 1])
      assert.strictEqual(seen("ACTIVE", now + 1, "grant_dead", expiresAt), "ACTIVE grant_dead")
    assert.strictEqual(seen("ACTIVE", null, "grant_dead"), "EXPIRED grant_dead")
    assert.strictEqual(seen("ACTIVE", now + 1, "grant_dead"), "INITIATED null")
  })

  it("of a link that ran out is what was true before it, or EXPIRED if nothing was", () => {
    for (const consentUntil of [null, now - 1, now]) {
      assert.strictEqual(seen("INITIATED", consentUntil), "EXPIRED consent_lapsed")
      assert.strictEqual(seen("EXPIRED", consentUntil, "grant_dead"), "EXPIRED grant_dead")
      assert.strictEqual(seen("FAILED", consentUntil, "consent_denied"), "FAILED consent_denied")
      assert.strictEqual(seen("INITIALIZING", consentUntil), "INITIALIZING null")
    }
  })

  it("agrees with the status machine about a lapsed link", () => {
    for (const status of statuses) {
      for (const statusReason of reasons) {
        const lapsed = transition({ status, statusReason }, { _tag: "ConsentLapsed" })
        assert.deepStrictEqual(
          visibleStatus({ status, statusReason, consentUntil: now, credential, expiresAt: null, scheme }, now),
          {
            status: lapsed.status,
            statusReason: lapsed.statusReason
          }
        )
      }
    }
  })
})

describe("a credential", () => {
  const credential = Sealed.make("sealed")
  const scheme = "OAUTH2"

  it("is in service only while the account is active", () => {
    assert.deepStrictEqual(
      statuses.filter((status) => inService({ status })),
      ["ACTIVE"]
    )
  })

  it("is usable until it expires", () => {
    const account = { status: "ACTIVE", scheme, credential, obtainedAt: 0 } as const
    assert.isTrue(isUsable({ ...account, expiresAt: null }, 10))
    assert.isTrue(isUsable({ ...account, expiresAt: 11 }, 10))
    assert.isFalse(isUsable({ ...account, expiresAt: 10 }, 10))
    assert.isTrue(isUsable({ ...account, expiresAt: 16 }, 10, 5))
    assert.isFalse(isUsable({ ...account, expiresAt: 15 }, 10, 5))
  })

  it("that lives for a minute is usable for a minute more in the first half of its life", () => {
    const account = { status: "ACTIVE", scheme, credential, obtainedAt: 0, expiresAt: 60_000 } as const
    assert.isTrue(isUsable(account, 29_999, 60_000))
    assert.isFalse(isUsable(account, 30_000, 60_000))
    assert.isTrue(isUsable(account, 30_000))
  })

  it("that was obtained in the future is not usable, since nobody knows when it ends, and not over", () => {
    const day = 86_400_000
    const account = { status: "ACTIVE", scheme, credential, obtainedAt: day, expiresAt: day + 3_600_000 } as const
    assert.isFalse(isUsable(account, 0))
    assert.isFalse(isOver(account, 0))
    assert.isTrue(isUsable(account, day - 60_000))
    assert.isTrue(isUsable({ ...account, expiresAt: null }, 0))
  })

  it("is not usable when there is none, or the account is not active", () => {
    assert.isFalse(isUsable({ status: "ACTIVE", scheme, credential: null, obtainedAt: 0, expiresAt: null }, 0))
    const none = { status: "ACTIVE", scheme: "NO_AUTH", credential: null, obtainedAt: 0, expiresAt: null } as const
    assert.isTrue(isUsable(none, 0), "where there is no authentication, none is needed")
    assert.isFalse(isUsable({ status: "EXPIRED", scheme, credential, obtainedAt: 0, expiresAt: null }, 0))
  })
})
