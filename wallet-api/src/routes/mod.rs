//! The HTTP routes, one file per domain. Every one of them goes through flow control and authentication.
//!
//! ```text
//!  GET    /v1/accounts                                       signed, funds:read
//!  POST   /v1/collections | /v1/payments | /v1/refunds       signed, funds:write, Idempotency-Key
//!  GET    /v1/orders/{order_id}                              signed, funds:read
//!  POST   /admin/v1/merchants                                staff
//!  POST   /admin/v1/merchants/{id}/apps                      staff
//!  DELETE /admin/v1/merchants/{id}/apps/{app}/keys/{key}     staff
//! ```

mod accounts;
mod admin;
mod fields;
mod json_object;
mod orders;
mod reply;
mod submissions;

use std::sync::Arc;

use service_kit::{flow::FlowControl, http::Routes};
use sqlx::MySqlPool;
use warp::Filter;

use crate::{
    auth::{SignedRequests, StaffToken},
    grants::Grants,
    ledger::InternalAccounts,
    merchants::{Directory, Onboarding},
    orders::Orders,
};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) orders: Orders,
    pub(crate) onboarding: Onboarding,
    pub(crate) directory: Directory,
    pub(crate) internal: Arc<InternalAccounts>,
    pub(crate) grants: Grants,
    pub(crate) pool: MySqlPool,
}

/// All routes. Handlers answer with a response for errors too, so no other route is tried after one has matched.
pub(crate) fn all(
    flow: &Arc<FlowControl>,
    apps: &Arc<SignedRequests>,
    staff: &Arc<StaffToken>,
    api: &Api,
) -> Routes {
    accounts::routes(flow, apps, api)
        .or(submissions::routes(flow, apps, api))
        .unify()
        .or(orders::routes(flow, apps, api))
        .unify()
        .or(admin::routes(flow, staff, api))
        .unify()
        .boxed()
}
