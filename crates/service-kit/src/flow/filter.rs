//! The filter itself, and what it asks of an API: who calls, and under which key the caller is counted.

use std::future::Future;
use std::sync::Arc;

use http::StatusCode;
use warp::{Filter, Rejection};

use super::{Class, FlowControl};
use crate::context;
use crate::problem::Problem;
use crate::raw_request::{DEFAULT_BODY_LIMIT, RawRequest, raw_request};

/// What a route is called in metrics and logs, what it costs, and how large a body it takes.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    name: &'static str,
    class: Class,
    body_limit: usize,
}

impl Route {
    /// A route that only reads, such as `bills.list`.
    pub const fn read(name: &'static str) -> Route {
        Route { name, class: Class::Read, body_limit: DEFAULT_BODY_LIMIT }
    }

    /// A route that changes something, such as `collections.create`.
    pub const fn write(name: &'static str) -> Route {
        Route { name, class: Class::Write, body_limit: DEFAULT_BODY_LIMIT }
    }

    /// Another largest body, in bytes.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Route {
        self.body_limit = bytes;
        self
    }
}

/// The key under which a caller's requests are counted.
pub trait FlowKey {
    fn flow_key(&self) -> &str;
}

/// Decides who calls. The contract:
///
/// - `Ok` only for a caller who proved it; the flow key must not depend on what the caller can choose freely.
/// - A 401 or 403 problem is charged to the stranger; other problems (503, say) are charged to nobody.
/// - Before anything dear for a caller not yet proven, call [`FlowControl::charge_stranger`]; before anything at all
///   that leaves the process, [`FlowControl::check_stranger`].
pub trait Authenticate: Send + Sync + 'static {
    type Caller: FlowKey + Send + 'static;

    fn authenticate(
        &self,
        request: &RawRequest,
    ) -> impl Future<Output = Result<Self::Caller, Problem>> + Send;
}

/// A request that may go on to its handler.
#[derive(Debug)]
pub struct Admitted<C> {
    pub caller: C,
    pub request: RawRequest,
}

/// The filter around every route: authenticates, charges, and hands on. Put it right after path and method, so that
/// no other route tries the same request again. It rejects with a [`Problem`]; the HTTP edge adds the rate headers.
pub fn with_flow_control<A: Authenticate>(
    flow: &Arc<FlowControl>,
    route: Route,
    authenticator: &Arc<A>,
) -> impl Filter<Extract = (Admitted<A::Caller>,), Error = Rejection> + Clone + Send + Sync + 'static + use<A>
{
    let (flow, authenticator) = (flow.clone(), authenticator.clone());
    let name_route = warp::any().map(move || context::set_route(route.name)).untuple_one();
    name_route.and(raw_request(route.body_limit)).and_then(move |request: RawRequest| {
        let (flow, authenticator) = (flow.clone(), authenticator.clone());
        async move { Ok::<_, Rejection>(admit(&flow, route.class, &*authenticator, request).await?) }
    })
}

async fn admit<A: Authenticate>(
    flow: &FlowControl,
    class: Class,
    authenticator: &A,
    request: RawRequest,
) -> Result<Admitted<A::Caller>, Problem> {
    let caller = match authenticator.authenticate(&request).await {
        Ok(caller) => caller,
        Err(problem) if matches!(problem.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            flow.charge_stranger(request.peer)?;
            return Err(problem);
        }
        Err(problem) => return Err(problem),
    };
    let (state, charged) = flow.charge(class, caller.flow_key());
    context::set_rate(state);
    charged?;
    Ok(Admitted { caller, request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Rate;
    use crate::problem;

    struct ByHeader;

    struct App(String);

    impl FlowKey for App {
        fn flow_key(&self) -> &str {
            &self.0
        }
    }

    impl Authenticate for ByHeader {
        type Caller = App;

        async fn authenticate(&self, request: &RawRequest) -> Result<App, Problem> {
            let claimed =
                request.headers.get("x-app").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let proven = request.headers.get("x-proof").is_some_and(|proof| proof == "right");
            let suspended = request.headers.contains_key("x-suspended");
            if proven && suspended {
                Err(Problem::new(StatusCode::FORBIDDEN, "suspended", "may not act now"))
            } else if proven {
                Ok(App(claimed.to_owned()))
            } else {
                Err(Problem::unauthorized("wrong", "wrong proof", "Test"))
            }
        }
    }

    #[tokio::test]
    async fn a_stranger_naming_an_app_cannot_empty_its_bucket() {
        let rate = Rate { per_second: 1, burst: 2 };
        let flow = FlowControl::new(rate, rate);
        let routes = warp::path!("x")
            .and(with_flow_control(&flow, Route::read("x"), &Arc::new(ByHeader)))
            .map(|admitted: Admitted<App>| admitted.caller.0)
            .recover(problem::recover);
        let call = async |proof: &str| {
            let request = warp::test::request().path("/x").header("x-app", "app_1").header("x-proof", proof);
            let response = request.reply(&routes).await;
            (response.status().as_u16(), response.headers().contains_key("retry-after"))
        };
        for _ in 0..50 {
            assert_eq!(call("wrong").await, (401, false));
        }
        assert_eq!(call("wrong").await, (429, true), "the strangers' bucket is empty");
        assert_eq!(call("right").await, (200, false), "the app's is not");
        assert_eq!(call("right").await, (200, false));
        assert_eq!(call("right").await, (429, true));
    }

    #[tokio::test]
    async fn a_caller_who_may_not_act_is_charged_too() {
        let rate = Rate { per_second: 1, burst: 2 };
        let flow = FlowControl::new(rate, rate);
        let routes = warp::path!("x")
            .and(with_flow_control(&flow, Route::read("x"), &Arc::new(ByHeader)))
            .map(|admitted: Admitted<App>| admitted.caller.0)
            .recover(problem::recover);
        let mut last = 0;
        for _ in 0..51 {
            let request =
                warp::test::request().path("/x").header("x-proof", "right").header("x-suspended", "1");
            last = request.reply(&routes).await.status().as_u16();
        }
        assert_eq!(last, 429, "requests without a limit");
    }
}
