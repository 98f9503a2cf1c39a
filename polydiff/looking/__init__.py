"""Looking into a trained model: views of what it learned, and the page of them."""
