//! What handing in one event leads to.

/// What an event meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rows or bookkeeping; the transaction, if any, goes on.
    Inside,
    /// Between transactions: everything before is complete.
    Boundary,
    /// The server has nothing to send.
    Heartbeat,
    /// Between transactions; and the next event to hand in is the one at [`Assembler::next_position`](super::Assembler::next_position), which is elsewhere.
    Jump,
}
