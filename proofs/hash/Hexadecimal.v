(** * Words of 32 bits in hexadecimal, as sha256sum prints them *)

From Coq Require Import Uint63 List ZArith Ascii String.
Import ListNotations.

Definition digit (n : int) : ascii :=
  nth (Z.to_nat (to_Z n)) (list_ascii_of_string "0123456789abcdef") Ascii.zero.

Definition hexadecimal (words : list int) : string :=
  string_of_list_ascii
  (flat_map (fun w =>
    map (fun k => digit ((w >> k) land 15)%uint63) [28; 24; 20; 16; 12; 8; 4; 0]%uint63) words).

Theorem hexadecimal_is : hexadecimal [0x0123abcd; 0xffffffff]%uint63 = "0123abcdffffffff"%string.
Proof. reflexivity. Qed.
