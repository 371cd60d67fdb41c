//! What speaks against following a source, and what an operator can run to settle it.

use std::fmt;

/// One setting, table or right that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is there and what is wanted.
    pub what: String,
    /// Statements that settle it, ready to run, without a `;`. Empty where no statement does.
    pub fix: Vec<String>,
}

impl Finding {
    /// A finding that no statement settles.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), fix: Vec::new() }
    }

    /// Adds a statement that settles it, or helps to.
    #[must_use]
    pub fn fixed_by(mut self, statement: impl Into<String>) -> Self {
        self.fix.push(statement.into());
        self
    }

    /// All of them in one line.
    pub(super) fn listed(findings: &[Self]) -> String {
        findings.iter().map(Self::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.fix.is_empty() {
            write!(f, " ({})", self.fix.join("; "))?;
        }
        Ok(())
    }
}
