"""The OpenAI dialect: requests in, engine work out, answers back."""
