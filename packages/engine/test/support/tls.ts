/**
 * A certificate authority that nobody trusts, and what it signed: for servers on loopback that speak TLS. The key is not a secret.
 *
 * @module
 */

/** The authority's certificate. Its key is thrown away. */
export const authority = `-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIUDzun3O+taYDceO2vND1RDT4ab2cwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0yNjExMjYxMTMwMTVaGA8yMTI2MTEwMjEx
MzAxNVowEjEQMA4GA1UEAwwHVGVzdCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABBf28DeEYEgYkpFm+9bJvH7tyZEOTS0wN2aABhplZ0Xka5WXpdUQrleSnJTM
/WN6zrIOUTXq3RboTnII8D47rv+jUzBRMB0GA1UdDgQWBBQC9QMH6edR50rK2Rik
4D1yWeSGrjAfBgNVHSMEGDAWgBQC9QMH6edR50rK2Rik4D1yWeSGrjAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIBUPmY99HnyvUcA0E/PcAzfdkF6m
fsNw/gQGt89q+FdJAiBc6HId9HHXZm3fvmEpU/xQ/DfQ1uZ4fQTQQicdRnuLjg==
-----END CERTIFICATE-----
`

/** A certificate for `provider.test` and `localhost`, and its key. Both are good for a century. */
export const provider = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUDYZIFPjjVwVunW0j8tXjttIwMq8wCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0yNjExMjYxMTMwMTVaGA8yMTI2MTEwMjEx
MzAxNVowGDEWMBQGA1UEAwwNcHJvdmlkZXIudGVzdDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABJOOmAbAJB434ttUlwIvgVlXiSGE4WbCzaPxnjP4urk6muwdI5Fl
DsWLRdU7Q0f8Yq3dQlN5Cu02yI2Yv0W+7P6jZzBlMCMGA1UdEQQcMBqCDXByb3Zp
ZGVyLnRlc3SCCWxvY2FsaG9zdDAdBgNVHQ4EFgQUYEtzfipsvK5CiLldPAgPFq+r
lLwwHwYDVR0jBBgwFoAUAvUDB+nnUedKytkYpOA9clnkhq4wCgYIKoZIzj0EAwID
RwAwRAIgDLj12Lz2/WE059d19KMgMel8zh27itWJqz6eyiNAHVgCIHpJo3lEvMY2
wFQCgaweU2k6ML9XkxEihuRH/zYsgd8n
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYz3QqlZ4cezqHBiN
G/GDuvkRHI9zfAIbGJ0Fl5FMUDWhRANCAASTjpgGwCQeN+LbVJcCL4FZV4khhOFm
ws2j8Z4z+Lq5OprsHSORZQ7Fi0XVO0NH/GKt3UJTeQrtNsiNmL9Fvuz+
-----END PRIVATE KEY-----
`
}
