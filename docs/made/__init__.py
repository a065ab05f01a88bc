"""What is made for the documentation: pages of rules and operators, pictures, README's table."""
