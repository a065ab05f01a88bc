"""Other methods, beside the certificate's: operator norms, linear programs."""

from lastbit.methods.norms import Norms as Norms
