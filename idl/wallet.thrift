// The services' contract. Framed or buffered binary; any Thrift client can call it. Additive changes only.
namespace rs wallet

// What every call carries: the request's id for the logs, and the caller's token.
struct CallContext {
  1: required string request_id,
  2: required string service_token,
}

struct AccountRef {
  1: required i64 account_id,
  2: required string kind,       // "available", "pending_in", "pending_out"
  3: required string currency,   // ISO 4217
}

// What an app may do. `verification_key` is secret: callers keep it in process memory only.
struct Grant {
  1: required i64 merchant_id,
  2: required string app_id,
  3: required string key_id,
  4: required string algorithm,          // "HMAC-SHA256"
  5: required binary verification_key,
  6: required list<string> scopes,
  7: required list<AccountRef> accounts,
  8: required string time_zone,          // IANA name; months and days of bills are cut in it
  9: required i64 valid_until_ms,        // Unix milliseconds; the caller asks again after it
}

struct AuthenticateRequest {
  1: required CallContext context,
  2: required string app_id,
  3: required string key_id,
}

enum DenialReason {
  UNKNOWN_KEY = 1,
  REVOKED_KEY = 2,
  MERCHANT_SUSPENDED = 3,
  BAD_SERVICE_TOKEN = 4,
}

exception AccessDenied {
  1: required DenialReason reason,
  2: required string message,
}

exception Unavailable {
  1: required string message,
  2: required i32 retry_after_ms,
}

service MerchantAccess {
  // The grant behind an app's key. The caller checks the signature itself, over the raw bytes it received.
  Grant authenticate(1: AuthenticateRequest request) throws (1: AccessDenied denied, 2: Unavailable unavailable),
}
