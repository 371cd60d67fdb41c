//! Flow control: one filter around every route, in front of its handler.
//!
//! ```text
//! path + method ─► with_flow_control(flow, route, authenticator) ─► handler
//!                    1. authenticate; what fails is charged to the stranger: its address, and all strangers together
//!                    2. charge the caller's own bucket of the route's class; empty: 429, with the wait
//! ```
//!
//! An app's bucket is charged after its signature is verified, so nobody can empty it by naming the app. A stranger
//! who runs dry gets 429 in place of 401, without rate headers; whoever has signed correctly here lately is let in
//! whatever strangers behind the same address do. Buckets are local to the process.

mod bucket;
mod filter;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::problem::{Problem, whole_seconds};
use bucket::Bucket;

pub use filter::{Admitted, Authenticate, FlowKey, Route, with_flow_control};

/// Metric: requests refused by flow control, by `class` (`read`, `write`, `stranger`).
pub const DENIED: &str = "flow_denied_total";
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Failed attempts of one address.
const STRANGER: Rate = Rate { per_second: 10, burst: 50 };
/// Failed attempts of all strangers together.
const ALL_STRANGERS: Rate = Rate { per_second: 500, burst: 1000 };
/// Buckets kept at a time, apps and addresses apart; the longest idle go first, and come back full.
const MOST_BUCKETS: u64 = 100_000;

/// How fast a bucket refills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second; 0 counts as 1.
    pub per_second: u32,
    /// Tokens at most, and at first; 0 counts as 1.
    pub burst: u32,
}

/// Routes that cost about the same share a class, and an app's bucket in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Read,
    Write,
}

impl Class {
    /// The policy's name in headers and the class in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
        }
    }
}

/// All buckets of one process.
pub struct FlowControl {
    read: Rate,
    write: Rate,
    callers: Cache<(Class, String), Arc<Bucket>>,
    strangers: Cache<Address, Arc<Bucket>>,
    all_strangers: Bucket,
    denied: IntCounterVec,
}

impl FlowControl {
    /// Every app gets a bucket of `read` and one of `write`.
    pub fn new(read: Rate, write: Rate) -> Arc<FlowControl> {
        let slowest = read.time_to_fill().max(write.time_to_fill());
        Arc::new(FlowControl {
            read,
            write,
            callers: buckets(MOST_BUCKETS, slowest),
            strangers: buckets(MOST_BUCKETS, STRANGER.time_to_fill()),
            all_strangers: Bucket::new(ALL_STRANGERS),
            denied: denied_counter(),
        })
    }

    /// Shows the refusals in `registry`.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.denied.clone()))
    }

    /// Takes a token of an authenticated caller, or says 429 with the wait.
    pub fn charge(&self, class: Class, caller: &str) -> (RateState, Result<(), Problem>) {
        let rate = match class {
            Class::Read => self.read,
            Class::Write => self.write,
        };
        let bucket = self.callers.get_with((class, caller.to_owned()), || Arc::new(Bucket::new(rate)));
        let granted = bucket.take();
        let state =
            RateState { policy: class.name(), rate: rate.at_least_one(), remaining: bucket.remaining() };
        if granted {
            return (state, Ok(()));
        }
        self.denied.with_label_values(&[class.name()]).inc();
        let detail =
            format!("more than {} requests a second of class {}", state.rate.per_second, class.name());
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .kind(QUOTA_EXCEEDED)
            .violated_policy(class.name())
            .retryable(bucket.wait());
        (state, Err(problem))
    }

    /// Takes a token of whoever is not authenticated: of its address and of all strangers together. An authenticator
    /// calls it before it does anything dear for a stranger, such as asking another service.
    pub fn charge_stranger(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        let bucket = self.strangers.get_with(Address::of(peer), || Arc::new(Bucket::new(STRANGER)));
        // the address first: one that has run dry must not go on draining everybody's
        if bucket.take() && self.all_strangers.take() {
            return Ok(());
        }
        Err(self.deny_stranger(&bucket))
    }

    /// As [`Self::charge_stranger`], but takes nothing: for a look-up so cheap that whoever proves right after it need
    /// not pay, while whoever has run dry must not cause any.
    pub fn check_stranger(&self, peer: Option<IpAddr>) -> Result<(), Problem> {
        match self.strangers.get(&Address::of(peer)) {
            Some(bucket) if bucket.remaining() == 0 => Err(self.deny_stranger(&bucket)),
            _ => Ok(()),
        }
    }

    fn deny_stranger(&self, bucket: &Bucket) -> Problem {
        self.denied.with_label_values(&["stranger"]).inc();
        let detail = "too many requests without a valid signature from here: wait, then check key and secret";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .kind(QUOTA_EXCEEDED)
            .retryable(bucket.wait())
    }
}

fn buckets<K: std::hash::Hash + Eq + Send + Sync + 'static>(
    most: u64,
    time_to_fill: Duration,
) -> Cache<K, Arc<Bucket>> {
    // a bucket that comes back must not be fuller than it would have been: forget it only once it is full
    let idle = time_to_fill.max(Duration::from_secs(60)) * 2;
    // not moka's own choice by frequency, which turns a newcomer away: each of its requests would find a new, full bucket
    let longest_idle_first = EvictionPolicy::lru();
    Cache::builder().max_capacity(most).time_to_idle(idle).eviction_policy(longest_idle_first).build()
}

fn denied_counter() -> IntCounterVec {
    let options = Opts::new(DENIED, "requests refused by flow control");
    #[expect(clippy::expect_used, reason = "name and label are constants of the right form")]
    IntCounterVec::new(options, &["class"]).expect("constant metric name")
}

/// Where a stranger calls from: an IPv4 address, or an IPv6 network of 64 bits, as one customer has a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    V4([u8; 4]),
    V6([u8; 8]),
    Unknown,
}

impl Address {
    fn of(peer: Option<IpAddr>) -> Address {
        match peer.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Address::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Address::V6([a, b, c, d, e, f, g, h])
            }
            None => Address::Unknown,
        }
    }
}

/// A caller's bucket just after it was charged, for the rate headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    policy: &'static str,
    rate: Rate,
    remaining: u32,
}

impl RateState {
    /// Sets `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): `q` is the burst, `w` the
    /// seconds in which an empty bucket fills, `r` what is left, `t` the seconds until the bucket is full again, or,
    /// when it is empty, until there is a token.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let RateState { policy, rate, remaining } = *self;
        let window = whole_seconds(rate.time_to_fill());
        let missing = if remaining == 0 { 1 } else { rate.burst.saturating_sub(remaining) };
        let reset = whole_seconds(rate.time_for(missing));
        let policy_value = format!("\"{policy}\";q={};w={window}", rate.burst);
        let limit_value = format!("\"{policy}\";r={remaining};t={reset}");
        for (name, value) in [(RATE_LIMIT_POLICY, policy_value), (RATE_LIMIT, limit_value)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(per_second: u32, burst: u32) -> Arc<FlowControl> {
        let rate = Rate { per_second, burst };
        FlowControl::new(rate, rate)
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_runs_dry_alone_and_waits_as_long_as_it_is_told() {
        let flow = flow(2, 3);
        for _ in 0..3 {
            assert!(flow.charge(Class::Read, "a").1.is_ok());
        }
        let (state, refused) = flow.charge(Class::Read, "a");
        let problem = refused.unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (429, "rate_limited"));
        assert_eq!(problem.to_response().headers()["retry-after"], "1");
        assert_eq!(state.remaining, 0);
        assert!(flow.charge(Class::Read, "b").1.is_ok(), "another app is not touched");
        assert!(flow.charge(Class::Write, "a").1.is_ok(), "nor is another class of the same app");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(flow.charge(Class::Read, "a").1.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_of_one_address_run_dry_and_no_app_does() {
        let flow = flow(1, 1);
        let peer = Some("192.0.2.7".parse().unwrap());
        let charges =
            (0..STRANGER.burst + 5).map(|_| flow.charge_stranger(peer)).filter(Result::is_ok).count();
        assert_eq!(charges, STRANGER.burst as usize);
        assert!(
            flow.charge_stranger(Some("::ffff:192.0.2.7".parse().unwrap())).is_err(),
            "the mapped form is the same"
        );
        assert!(flow.charge_stranger(Some("192.0.2.8".parse().unwrap())).is_ok());
        assert!(flow.charge(Class::Read, "a").1.is_ok());
    }

    #[test]
    fn whoever_comes_when_all_buckets_are_taken_is_counted_too() {
        let buckets = buckets::<u32>(100, Duration::ZERO);
        let bucket = |caller| buckets.get_with(caller, || Arc::new(Bucket::new(STRANGER)));
        for caller in (0..100).cycle().take(1000) {
            bucket(caller);
            buckets.run_pending_tasks();
        }
        let first = bucket(100);
        buckets.run_pending_tasks();
        assert!(Arc::ptr_eq(&first, &bucket(100)), "a new bucket, full again, for every request");
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_bucket() {
        let of = |text: &str| Address::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn the_rate_headers_follow_the_draft() {
        let rate = Rate { per_second: 100, burst: 200 };
        for (remaining, limit) in
            [(200, "\"read\";r=200;t=1"), (50, "\"read\";r=50;t=2"), (0, "\"read\";r=0;t=1")]
        {
            let mut headers = HeaderMap::new();
            RateState { policy: "read", rate, remaining }.write_to(&mut headers);
            assert_eq!(headers["ratelimit-policy"], "\"read\";q=200;w=2");
            assert_eq!(headers["ratelimit"], limit);
        }
    }
}
