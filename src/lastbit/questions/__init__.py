"""Other questions than the certificate's: drift, decisions, and which layer absorbs a last bit."""

from lastbit.questions.absorbing import absorbed_node as absorbed_node
from lastbit.questions.drift import derived_drift as derived_drift
