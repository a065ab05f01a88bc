"""Other methods, beside the certificate's: linear programs."""
