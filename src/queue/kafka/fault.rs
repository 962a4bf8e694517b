//! What the errors of Kafka mean to us.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::queue::QueueError;

/// What a failure asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Try again.
    #[error("{0}")]
    Transient(String),
    /// Only a person can mend it.
    #[error("{0}")]
    Permanent(String),
    /// The topic is not there.
    #[error("{0}")]
    Missing(String),
}

impl Fault {
    /// With what was attempted before it.
    pub(super) fn about(self, what: &str) -> Self {
        match self {
            Self::Transient(why) => Self::Transient(format!("{what}: {why}")),
            Self::Permanent(why) => Self::Permanent(format!("{what}: {why}")),
            Self::Missing(why) => Self::Missing(format!("{what}: {why}")),
        }
    }
}

impl From<Fault> for QueueError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Permanent(why) => Self::Unusable(why),
            Fault::Transient(why) | Fault::Missing(why) => Self::Unavailable(why),
        }
    }
}

impl From<KafkaError> for Fault {
    fn from(err: KafkaError) -> Self {
        match (&err, code(&err)) {
            (_, Some(code)) => code.into(),
            // Only a mistake of ours gives such a setting, or a file that cannot be read.
            (KafkaError::ClientConfig(_, why, ..) | KafkaError::ClientCreation(why), None) => Self::Permanent(why.clone()),
            _ => Self::Transient(err.to_string()),
        }
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        let text = code.to_string();
        match code {
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::SSL
            | Code::UnsupportedSASLMechanism
            | Code::InvalidReplicationFactor
            | Code::InvalidTopic
            | Code::InvalidConfig
            | Code::PolicyViolation
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol => Self::Permanent(text),
            Code::UnknownTopic | Code::UnknownTopicOrPartition => Self::Missing(text),
            _ => Self::Transient(text),
        }
    }
}

/// The code of an error, if it has one.
pub(super) fn code(err: &KafkaError) -> Option<Code> {
    // The crate leaves these out.
    if let KafkaError::AdminOp(code) = err { Some(*code) } else { err.rdkafka_error_code() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        for (code, is_permanent) in [
            (Code::TopicAuthorizationFailed, true),
            (Code::SaslAuthenticationFailed, true),
            (Code::BrokerTransportFailure, false),
            (Code::NotCoordinator, false),
            (Code::RequestTimedOut, false),
        ] {
            assert_eq!(Fault::from(KafkaError::AdminOp(code)), Fault::from(code));
            assert_eq!(matches!(Fault::from(KafkaError::Global(code)), Fault::Permanent(_)), is_permanent, "{code}");
        }
        assert!(matches!(Fault::from(KafkaError::ClientCreation("no such file".into())), Fault::Permanent(_)));
        assert!(matches!(Fault::from(KafkaError::Seek("late".into())), Fault::Transient(_)));
    }
}
