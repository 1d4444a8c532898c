/**
 * Where people are sent after consent, apart from the authorization server: a worker process needs the address, and not the server.
 *
 * @module
 */
export const callbackUrl = "https://app.example.com/callback"
