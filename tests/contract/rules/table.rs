//! One entry for each verb.

use crate::verbs::Verb;

/// Verbs that need something of the environment, with the reason.
pub(crate) const BARE_ENVIRONMENT: &[(&str, &str)] = &[];

/// The real invocations.
pub(crate) const VERBS: &[Verb] = &[];
