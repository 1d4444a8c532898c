/**
 * The tables of other projects, as their own migrations leave them (Nango) or as they publish them (better-auth, Auth.js). Tables and columns
 * that no importer reads are left out where nothing refers to them.
 *
 * @module
 */

/** Nango: `packages/database/lib/migrations`, up to `20260715120000_add_webhook_url_override`, in its default schema. */
export const nango = [
  `CREATE SCHEMA nango`,
  `CREATE TABLE nango._nango_db_config (
    encryption_key_hash varchar(255),
    encryption_complete boolean DEFAULT false
  )`,
  `CREATE TABLE nango._nango_accounts (
    id serial PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    name varchar(255) NOT NULL DEFAULT 'My Organization',
    uuid uuid DEFAULT gen_random_uuid()
  )`,
  `CREATE TABLE nango._nango_environments (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    account_id integer REFERENCES nango._nango_accounts (id),
    uuid uuid DEFAULT gen_random_uuid(),
    callback_url text,
    webhook_url text,
    webhook_url_secondary text,
    hmac_enabled boolean DEFAULT false,
    hmac_key varchar(255),
    otlp_settings jsonb DEFAULT NULL,
    deleted boolean DEFAULT false,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
  )`,
  `CREATE TABLE nango.end_users (
    id SERIAL PRIMARY KEY,
    end_user_id VARCHAR(255) NOT NULL,
    account_id INTEGER REFERENCES nango._nango_accounts (id) ON DELETE CASCADE,
    environment_id INTEGER REFERENCES nango._nango_environments (id) ON DELETE CASCADE,
    email VARCHAR(255),
    display_name VARCHAR(255),
    organization_id VARCHAR(255),
    organization_display_name VARCHAR(255),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
  )`,
  `CREATE TABLE nango._nango_configs (
    id serial PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    unique_key varchar(255) NOT NULL,
    provider varchar(255) NOT NULL,
    oauth_client_id varchar(512) DEFAULT NULL,
    oauth_client_secret text DEFAULT NULL,
    oauth_scopes text DEFAULT NULL,
    environment_id integer REFERENCES nango._nango_environments (id),
    oauth_client_secret_iv varchar(255),
    oauth_client_secret_tag varchar(255),
    deleted boolean DEFAULT false,
    deleted_at timestamptz DEFAULT NULL,
    app_link varchar(255),
    custom json,
    missing_fields text[] NOT NULL DEFAULT array[]::text[],
    display_name varchar(255),
    forward_webhooks boolean NOT NULL DEFAULT true,
    shared_credentials_id integer,
    UNIQUE (unique_key, environment_id, deleted_at)
  )`,
  `CREATE TABLE nango._nango_connections (
    id serial PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    provider_config_key varchar(255) NOT NULL,
    connection_id varchar(255) NOT NULL,
    credentials json NOT NULL,
    connection_config jsonb,
    metadata jsonb,
    credentials_iv varchar(255),
    credentials_tag varchar(255),
    environment_id integer REFERENCES nango._nango_environments (id),
    deleted boolean DEFAULT false,
    deleted_at timestamptz DEFAULT NULL,
    last_fetched_at timestamptz,
    config_id integer REFERENCES nango._nango_configs (id),
    end_user_id int4 REFERENCES nango.end_users (id) ON DELETE SET NULL,
    credentials_expires_at timestamptz,
    last_refresh_success timestamptz,
    last_refresh_failure timestamptz,
    refresh_attempts int2,
    refresh_exhausted bool,
    tags jsonb NOT NULL DEFAULT '{}',
    webhook_url_override text,
    UNIQUE (provider_config_key, connection_id, environment_id, deleted_at)
  )`
]

/** better-auth: `packages/cli/test/__snapshots__/migrations.sql`, which its command `generate` writes for SQLite. */
export const betterAuth = [
  `create table "user" ("id" text not null primary key, "name" text not null, "email" text not null unique, "emailVerified" integer not null, "image" text, "createdAt" date not null, "updatedAt" date not null)`,
  `create table "account" ("id" text not null primary key, "issuer" text not null, "accountId" text not null, "providerId" text not null, "userId" text not null references "user" ("id") on delete cascade, "accessToken" text, "refreshToken" text, "idToken" text, "accessTokenExpiresAt" date, "refreshTokenExpiresAt" date, "scope" text, "password" text, "createdAt" date not null, "updatedAt" date not null)`,
  `create unique index "account_issuer_accountId_uidx" on "account" ("issuer", "accountId")`
]

/** The same tables of better-auth on Postgres, by the types of its `get-migration.ts`. */
export const betterAuthPostgres = betterAuth.map((statement) =>
  statement.replaceAll(" date", " timestamptz").replace(`"emailVerified" integer`, `"emailVerified" boolean`)
)

/** Auth.js on SQLite: `packages/adapter-d1/src/migrations.ts`. */
export const authjsSqlite = [
  `CREATE TABLE IF NOT EXISTS "accounts" (
    "id" text NOT NULL,
    "userId" text NOT NULL DEFAULT NULL,
    "type" text NOT NULL DEFAULT NULL,
    "provider" text NOT NULL DEFAULT NULL,
    "providerAccountId" text NOT NULL DEFAULT NULL,
    "refresh_token" text DEFAULT NULL,
    "access_token" text DEFAULT NULL,
    "expires_at" number DEFAULT NULL,
    "token_type" text DEFAULT NULL,
    "scope" text DEFAULT NULL,
    "id_token" text DEFAULT NULL,
    "session_state" text DEFAULT NULL,
    "oauth_token_secret" text DEFAULT NULL,
    "oauth_token" text DEFAULT NULL,
    PRIMARY KEY (id)
  )`
]

/** Auth.js on Postgres: `packages/adapter-pg/schema.sql`. */
export const authjs = [
  `CREATE TABLE users
  (
    id SERIAL,
    name VARCHAR(255),
    email VARCHAR(255),
    "emailVerified" TIMESTAMPTZ,
    image TEXT,

    PRIMARY KEY (id)
  )`,
  `CREATE TABLE accounts
  (
    id SERIAL,
    "userId" INTEGER NOT NULL,
    type VARCHAR(255) NOT NULL,
    provider VARCHAR(255) NOT NULL,
    "providerAccountId" VARCHAR(255) NOT NULL,
    refresh_token TEXT,
    access_token TEXT,
    expires_at BIGINT,
    id_token TEXT,
    scope TEXT,
    session_state TEXT,
    token_type TEXT,

    PRIMARY KEY (id)
  )`
]
