"""What a recording says of a connection as a whole: findings, each with evidence and advice."""
