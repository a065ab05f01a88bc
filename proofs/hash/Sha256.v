(** * SHA-256, over machine integers

    FIPS 180-4 as a program over 63-bit integers that hold 32-bit words: [sha256] of bytes, and
    [digest_of_words] of whole words, which is what a file of float32 numbers is. That it is SHA-256
    is shown by the standard's test vectors, evaluated here, not by a proof about another
    definition.

    Rests on Coq's machine integers. It binds a network to the file that it is read from
    (zero/Theorem.v). *)

From Coq Require Import Uint63 List ZArith.
Import ListNotations.
Open Scope uint63_scope.

Definition constants : list int := [
  0x428a2f98; 0x71374491; 0xb5c0fbcf; 0xe9b5dba5; 0x3956c25b; 0x59f111f1; 0x923f82a4; 0xab1c5ed5;
  0xd807aa98; 0x12835b01; 0x243185be; 0x550c7dc3; 0x72be5d74; 0x80deb1fe; 0x9bdc06a7; 0xc19bf174;
  0xe49b69c1; 0xefbe4786; 0x0fc19dc6; 0x240ca1cc; 0x2de92c6f; 0x4a7484aa; 0x5cb0a9dc; 0x76f988da;
  0x983e5152; 0xa831c66d; 0xb00327c8; 0xbf597fc7; 0xc6e00bf3; 0xd5a79147; 0x06ca6351; 0x14292967;
  0x27b70a85; 0x2e1b2138; 0x4d2c6dfc; 0x53380d13; 0x650a7354; 0x766a0abb; 0x81c2c92e; 0x92722c85;
  0xa2bfe8a1; 0xa81a664b; 0xc24b8b70; 0xc76c51a3; 0xd192e819; 0xd6990624; 0xf40e3585; 0x106aa070;
  0x19a4c116; 0x1e376c08; 0x2748774c; 0x34b0bcb5; 0x391c0cb3; 0x4ed8aa4a; 0x5b9cca4f; 0x682e6ff3;
  0x748f82ee; 0x78a5636f; 0x84c87814; 0x8cc70208; 0x90befffa; 0xa4506ceb; 0xbef9a3f7; 0xc67178f2].

Definition mask : int := 0xffffffff.

(** Exclusive or of three rotations to the right, all of at least 2 places. *)
Definition rotations (a b c x : int) : int :=
  ((x >> a) lxor (x << (32 - a)) lxor (x >> b) lxor (x << (32 - b)) lxor (x >> c) lxor
    (x << (32 - c))) land mask.

(** Two rotations and a shift. *)
Definition mixed (a b c x : int) : int :=
  ((x >> a) lxor (x << (32 - a)) lxor (x >> b) lxor (x << (32 - b)) lxor (x >> c)) land mask.

Record state :=
  State { s0 : int; s1 : int; s2 : int; s3 : int; s4 : int; s5 : int; s6 : int; s7 : int }.

Definition initial : state :=
  State 0x6a09e667 0xbb67ae85 0x3c6ef372 0xa54ff53a 0x510e527f 0x9b05688c 0x1f83d9ab 0x5be0cd19.

(** 64 rounds; the next 16 words of the schedule move along. *)
Fixpoint rounds (ks : list int)
  (w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 a b c d e f g h : int) : state :=
  match ks with
  | [] => State a b c d e f g h
  | k :: ks' =>
      let t1 := h + rotations 6 11 25 e + ((e land f) lxor ((e lxor mask) land g)) + k + w0 in
      let t2 := rotations 2 13 22 a + ((a land b) lxor (a land c) lxor (b land c)) in
      let w16 := (mixed 17 19 10 w14 + w9 + mixed 7 18 3 w1 + w0) land mask in
      rounds ks' w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 ((t1 + t2) land mask) a b c
      ((d + t1) land mask) e f g
  end.

Definition block (s : state) (w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 : int) :
  state :=
  let r := rounds constants w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 (s0 s) (s1 s)
  (s2 s) (s3 s) (s4 s) (s5 s) (s6 s) (s7 s) in
  State ((s0 s + s0 r) land mask) ((s1 s + s1 r) land mask) ((s2 s + s2 r) land mask)
  ((s3 s + s3 r) land mask)
        ((s4 s + s4 r) land mask) ((s5 s + s5 r) land mask) ((s6 s + s6 r) land mask)
        ((s7 s + s7 r) land mask).

(** Words in whole blocks of 16; less than a block at the end is left out. *)
Fixpoint blocks (s : state) (l : list int) : state :=
  match l with
  | w0 :: w1 :: w2 :: w3 :: w4 :: w5 :: w6 :: w7 :: w8 :: w9 :: w10 :: w11 :: w12 :: w13 :: w14 ::
      w15 :: l' => blocks (block s w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15) l'
  | _ => s
  end.

Definition words (s : state) : list int := [s0 s; s1 s; s2 s; s3 s; s4 s; s5 s; s6 s; s7 s].

(** ** Padding *)

(** Zeros up to 8 bytes before the end of a block, then the length in bits, big-endian. *)
Definition padding (bytes : int) : list int :=
  let zeros := (119 - bytes mod 64) mod 64 in
  128 :: repeat 0 (Z.to_nat (to_Z zeros)) ++ map (fun k => ((bytes * 8) >> k) land 255)
  [56; 48; 40; 32; 24; 16; 8; 0].

Fixpoint to_words (l : list int) : list int :=
  match l with
  | a :: b :: c :: d :: l' => ((a << 24) lor (b << 16) lor (c << 8) lor d) :: to_words l'
  | _ => []
  end.

Definition size (l : list int) : int := fold_left (fun n _ => n + 1) l 0.

Definition sha256 (bytes : list int) : list int :=
  words (blocks initial (to_words (bytes ++ padding (size bytes)))).

Definition digest_of_words (l : list int) : list int :=
  words (blocks initial (l ++ to_words (padding (4 * size l)))).

(** ** The standard's test vectors *)

Lemma empty_vector :
  sha256 [] = [0xe3b0c442; 0x98fc1c14; 0x9afbf4c8; 0x996fb924; 0x27ae41e4; 0x649b934c;
    0xa495991b; 0x7852b855].
Proof. vm_compute. reflexivity. Qed.

Lemma abc_vector :
  sha256 [97; 98; 99] = [0xba7816bf; 0x8f01cfea; 0x414140de; 0x5dae2223; 0xb00361a3; 0x96177a9c;
    0xb410ff61; 0xf20015ad].
Proof. vm_compute. reflexivity. Qed.

Lemma two_blocks_vector :
  sha256 [97; 98; 99; 100; 98; 99; 100; 101; 99; 100; 101; 102; 100; 101; 102; 103; 101; 102; 103;
    104; 102; 103; 104; 105; 103; 104; 105; 106; 104; 105; 106; 107; 105; 106; 107; 108; 106; 107;
    108; 109; 107; 108; 109; 110; 108; 109; 110; 111; 109; 110; 111; 112; 110; 111; 112; 113] =
  [0x248d6a61; 0xd20638b8; 0xe5c02693; 0x0c3e6039; 0xa33ce459; 0x64ff2167; 0xf6ecedd4; 0x19db06c1].
Proof. vm_compute. reflexivity. Qed.

(** 4096 words of zeros: what [digest_of_words] is for. *)
Lemma words_vector : digest_of_words (repeat 0 4096) =
  [0x4fe7b59a; 0xf6de3b66; 0x5b67788c; 0xc2f99892; 0xab827efa; 0xe3a46734; 0x2b3bb4e3; 0xbc8e5bfe].
Proof. vm_compute. reflexivity. Qed.
