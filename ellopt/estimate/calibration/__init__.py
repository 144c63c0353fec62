"""What a real board says of estimates: fixed loops and two small networks, and one factor drawn from them."""
