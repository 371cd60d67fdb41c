//! Fund orders: what a merchant asks for (collect, pay, refund) and the journals that carry it out.
//!
//! ```text
//!  Command ─► Orders::submit ─┬─ one transaction, tried again whole on deadlock ──────────────────────────────────┐
//!                             │ claim key ─► plan (pure) ─► lock accounts ─► order, journal, balances ─► save answer │
//!                             └──────────────────────────────────────────────────────────────────────────────────┘
//!                             ─► Answer {status, body, replayed}
//! ```

mod answer;
mod attempt;
mod command;
mod number;
mod order;
mod plan;
mod refusal;
mod rows;
mod submit;

pub(crate) use answer::Answer;
pub(crate) use command::{Collection, Command, Payment, RefundRequest};
pub(crate) use order::OrderView;
pub(crate) use submit::{Orders, Submission, SubmitError};
