"""What tests of harnesses and of this package share: given/when/then, fakes, contract suites."""
