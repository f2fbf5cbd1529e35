"""Where a service keeps what it answers from and what it hears: one contract, two stores."""
