(** * Weights read in sequence are those of File.v

    - [above]: a number in units of 2^-149 over 2^100, rounded away from 0; [exact_number]: not
      rounded;
    - [floats_read]: [floats] gives the numbers that stand in the file from its place on;
    - [channels_read]: [channels_in] gives those of each channel that are not 0.

    Rests on Units.v and Numbers.v. *)

From Coq Require Import Reals Lra Lia List ZArith NArith Arith Bool Uint63.
From Flocq Require Import Core.
From Lastbit Require Import Statement Totals checker.Program checker.Numbers onnx.File onnx.Units.
Import ListNotations.
Open Scope Z_scope.

(** ** Numbers *)

Definition above (n : Z) : Z := if n <? 0 then n / 2 ^ 49 else - (- n / 2 ^ 49).
Definition exact_number (n : Z) : Prop := n = above n * 2 ^ 49.

Lemma above_exact z : above (z * 2 ^ 49) = z.
Proof.
  unfold above. destruct (z * 2 ^ 49 <? 0); [now apply Z.div_mul|].
  rewrite <- Z.mul_opp_l, Z.div_mul by easy. apply Z.opp_involutive.
Qed.

Lemma above_near n : Z.abs n <= Z.abs (above n) * 2 ^ 49 /\ Z.abs (n - above n * 2 ^ 49) <=
  2 ^ 49 /\ (n = 0 -> above n = 0).
Proof.
  unfold above. change (2 ^ 49) with 562949953421312. destruct (Z.ltb_spec n 0) as [H|H].
  - generalize (Z.div_mod n 562949953421312 ltac:(lia))
      (Z.mod_pos_bound n 562949953421312 ltac:(lia)). lia.
  - generalize (Z.div_mod (- n) 562949953421312 ltac:(lia))
      (Z.mod_pos_bound (- n) 562949953421312 ltac:(lia)).
    intros. split; [|split]; [lia|lia|]. intros ->. reflexivity.
Qed.

Lemma some_is {A} (a b : A) : Some a = Some b -> a = b.
Proof. congruence. Qed.

Lemma grid_of_word_exact w z : grid_of_word w = Some z -> units_of_word w = z * 2 ^ 49.
Proof.
  unfold grid_of_word, units_of_word. change 0xff with (Z.ones 8). change 0x7fffff with (Z.ones 23).
  rewrite !Z.land_ones, Z.shiftr_div_pow2 by lia. change 0x80000000 with (2 ^ 31).
  change 0x800000 with (2 ^ 23). set (e := w / 2 ^ 23 mod 2 ^ 8). set (f := w mod 2 ^ 23).
  destruct (Z.leb_spec 50 e) as [L|L].
  - intros K. apply some_is in K. rewrite <- K. destruct (Z.eqb_spec e 0) as [|_]; [lia|].
    rewrite Z.shiftl_mul_pow2 by lia. replace (e - 1) with ((e - 50) + 49) by lia.
    rewrite Z.pow_add_r by lia. destruct (w <? 2 ^ 31); ring.
  - destruct (Z.eqb_spec e 0) as [E|E]; [|discriminate].
    destruct (Z.eqb_spec f 0) as [F|F]; [|discriminate]. intros K. apply some_is in K.
    rewrite <- K, F. destruct (w <? 2 ^ 31); reflexivity.
Qed.

Lemma real_ulps z : real z = ulps (z * 2 ^ 49).
Proof.
  assert (P : IZR (2 ^ 49) = bpow radix2 49) by exact (IZR_Zpower radix2 49 ltac:(lia)).
  assert (B : bpow radix2 (49 + -149) = (/ 2 ^ 100)%R) by (simpl; lra).
  unfold ulps, real. now rewrite mult_IZR, P, Rmult_assoc, <- bpow_plus, B.
Qed.

Lemma exact_real n : exact_number n -> ulps n = real (above n).
Proof.
  intros E. rewrite real_ulps. now rewrite <- E.
Qed.

Lemma near_real n : (Rabs (ulps n) <= Rabs (real (above n)) /\ (ulps n = 0 -> real (above n) = 0) /\
  Rabs (ulps n - real (above n)) <= real 1)%R.
Proof.
  assert (A : forall z, Rabs (ulps z) = ulps (Z.abs z)).
  { intros z. unfold ulps.
    rewrite Rabs_mult, <- abs_IZR, (Rabs_pos_eq (bpow _ _)); [reflexivity|apply bpow_ge_0]. }
  assert (L : forall y z, y <= z -> (ulps y <= ulps z)%R).
  { intros y z H. unfold ulps. apply Rmult_le_compat_r; [apply bpow_ge_0|now apply IZR_le]. }
  destruct (above_near n) as (N1 & N2 & N3). rewrite !real_ulps, !A. split; [apply L; lia|].
  split; [|].
  - intros Z. rewrite N3; [rewrite <- real_ulps; apply real_0|]. unfold ulps in Z.
    apply Rmult_integral in Z. destruct Z as [Z|Z].
    + now apply eq_IZR.
    + generalize (bpow_gt_0 radix2 (-149)). lra.
  - replace (ulps n - ulps (above n * 2 ^ 49))%R with (ulps (n - above n * 2 ^ 49));
      [rewrite A; apply L; lia|].
    unfold ulps. rewrite minus_IZR. ring.
Qed.

(** ** Places *)

Section Reading.
Variable file : list int.

Definition stands (at_ : N) (l : list int) : Prop := l = skipn (N.to_nat at_) file.

Lemma skipn_tail {A} n (l : list A) : skipn (S n) l = tl (skipn n l).
Proof. revert l. induction n as [|n IH]; intros [|x l]; try reflexivity. exact (IH l). Qed.

Lemma nth_skip {A} n (l : list A) d : nth n l d = hd d (skipn n l).
Proof. revert l. induction n as [|n IH]; intros [|x l]; try reflexivity. exact (IH l). Qed.

Lemma stands_byte at_ a l : stands at_ (a :: l) -> byte file at_ = to_Z a /\ stands (at_ + 1) l.
Proof.
  unfold stands, byte. intros E. rewrite nth_skip, <- E. split; [reflexivity|].
  rewrite N2Nat.inj_add, Nat.add_1_r, skipn_tail, <- E. reflexivity.
Qed.

Lemma stands_word at_ a b c d l : stands at_ (a :: b :: c :: d :: l) ->
  word file at_ = to_Z a + 0x100 * to_Z b + 0x10000 * to_Z c + 0x1000000 * to_Z d /\
  stands (at_ + 4) l.
Proof.
  intros E. apply stands_byte in E. destruct E as [Ea E]. apply stands_byte in E.
  destruct E as [Eb E]. apply stands_byte in E. destruct E as [Ec E]. apply stands_byte in E.
  destruct E as [Ed E]. rewrite <- !N.add_assoc in *. cbn [N.add Pos.add Pos.succ] in *.
  split; [|exact E]. unfold word. now rewrite Ea, Eb, Ec, Ed.
Qed.

Lemma skip_is n (l : list int) : skip n l = skipn (N.to_nat n) l.
Proof.
  unfold skip. rewrite N2Nat.inj_iter. induction (N.to_nat n) as [|m IH]; [reflexivity|].
  now rewrite skipn_tail, <- IH.
Qed.

Lemma skipn_twice {A} m n (l : list A) : skipn m (skipn n l) = skipn (n + m) l.
Proof.
  revert l. induction n as [|n IH]; intros l; [reflexivity|]. destruct l; [now rewrite !skipn_nil|].
  apply IH.
Qed.

Lemma seek_stands c at_ : stands (fst c) (snd c) -> stands at_ (seek file c at_).
Proof.
  unfold stands, seek. intros E. rewrite !skip_is.
  destruct (N.leb_spec (fst c) at_) as [L|_]; [|reflexivity]. rewrite E, skipn_twice. f_equal. lia.
Qed.

(** ** Floats *)

Lemma grid_read rounded at_ a b c d l z : stands at_ (a :: b :: c :: d :: l) ->
  grid_of_bytes rounded a b c d = Some z ->
  let n := units_of_word (word file at_) in z = above n /\ (rounded = false -> exact_number n).
Proof.
  intros E G. destruct (stands_word _ _ _ _ _ _ E) as [-> _]. unfold grid_of_bytes in G.
  destruct ((a =? 0)%uint63 && _ && _ && _) eqn:Z0.
  - rewrite !andb_true_iff, !eqb_spec in Z0. destruct Z0 as [[[-> ->] ->] ->]. apply some_is in G.
    rewrite <- G. now split.
  - unfold exact_number. cbv zeta. destruct (grid_of_word _) as [y|] eqn:W.
    + apply some_is in G. subst y. apply grid_of_word_exact in W. rewrite W, above_exact. now split.
    + destruct rounded; [|discriminate]. apply some_is in G. subst z.
      split; [reflexivity|discriminate].
Qed.

Lemma floats_read {A} (index : A -> nat) rounded at_ : forall xs l ys rest s,
  stands (at_ + 4 * N.of_nat s) l -> map index xs = seq s (length xs) ->
  floats rounded xs l = Some (ys, rest) ->
  stands (at_ + 4 * N.of_nat (s + length xs)) rest /\
  ys = map (fun x => (x, above (units_at file at_ (index x)))) xs /\
  (rounded = false -> forall x, In x xs -> exact_number (units_at file at_ (index x))).
Proof.
  induction xs as [|x xs IH]; intros l ys rest s St Hi F.
  - injection F as <- <-. rewrite Nat.add_0_r. split; [exact St|]. now split.
  - destruct l as [|a [|b [|c [|d l]]]]; try discriminate. cbn [floats] in F.
    destruct (grid_of_bytes rounded a b c d) as [z|] eqn:G; [|discriminate].
    destruct (floats rounded xs l) as [[ys' rest']|] eqn:R; [|discriminate]. injection F as <- <-.
    cbn [map length seq] in Hi. injection Hi as Hx Hi.
    destruct (grid_read _ _ _ _ _ _ _ _ St G) as [-> X]. apply stands_word in St.
    destruct St as [_ St]. destruct (IH l ys' rest' (S s)) as (I1 & I2 & I3); [|exact Hi|exact R|].
    { replace (at_ + 4 * N.of_nat (S s))%N with (at_ + 4 * N.of_nat s + 4)%N by lia. exact St. }
    split; [|split].
    + cbn [length]. now rewrite Nat.add_succ_r.
    + cbn [map]. rewrite <- I2. now rewrite Hx.
    + intros Hr y [<-|Hy]; [|now apply I3]. rewrite Hx. now apply X.
Qed.

Lemma upto_index n : map N.to_nat (upto n) = seq 0 (length (upto n)).
Proof.
  unfold upto. rewrite length_map, length_seq, map_map. rewrite <- (map_id (seq 0 n)) at 2.
  apply map_ext. apply Nat2N.id.
Qed.

Lemma upto_read rounded c at_ n ys rest : stands (fst c) (snd c) ->
  floats rounded (upto n) (seek file c at_) = Some (ys, rest) ->
  ys = map (fun x => (N.of_nat x, above (units_at file at_ x))) (seq 0 n) /\
  (rounded = false -> forall x, (x < n)%nat -> exact_number (units_at file at_ x)).
Proof.
  intros St F. destruct (floats_read N.to_nat rounded at_ (upto n) (seek file c at_) ys rest 0) 
    as (_ & -> & X); [|apply upto_index|exact F|].
  - rewrite N.add_0_r. now apply seek_stands.
  - unfold upto in *. rewrite map_map. split; [apply map_ext; intros x; now rewrite Nat2N.id|].
    intros Hr x Hx. specialize (X Hr (N.of_nat x)). rewrite Nat2N.id in X. apply X.
    apply in_map, in_seq. lia.
Qed.

(** ** Channels *)

Lemma seq_from a n : seq a n = map (Nat.add a) (seq 0 n).
Proof.
  revert a. induction n as [|n IH]; intros a; [reflexivity|]. cbn [seq map].
  rewrite Nat.add_0_r, IH, <- seq_shift, map_map. f_equal. apply map_ext. intros i. lia.
Qed.

Lemma channels_read {A} (index : A -> nat) (xs : list A) at_ : map index xs = seq 0 (length xs) ->
  forall n l cs rest s,
  stands (at_ + 4 * N.of_nat (s * length xs)) l ->
  channels_in xs (map N.of_nat (seq s n)) l = Some (cs, rest) ->
  let W o x := units_at file at_ (o * length xs + index x) in
  cs =
  map (fun o => (N.of_nat o, filter weighs (map (fun x => (x, above (W o x))) xs))) (seq s n) /\
  (forall o x, (s <= o < s + n)%nat -> In x xs -> exact_number (W o x)).
Proof.
  intros Hi. induction n as [|n IH]; intros l cs rest s St F W.
  - injection F as <- <-. split; [reflexivity|]. intros. lia.
  - cbn [seq map channels_in] in F.
    destruct (floats false xs l) as [[ys l']|] eqn:R; [|discriminate].
    destruct (channels_in xs _ l') as [[cs' l'']|] eqn:C; [|discriminate]. injection F as <- <-.
    destruct (floats_read (fun x => (s * length xs + index x)%nat) false at_ xs l ys l'
      (s * length xs) St)
      as (I1 & I2 & I3); [|exact R|].
    { now rewrite <- (map_map index (Nat.add (s * length xs))), Hi, <- seq_from. }
    destruct (IH l' cs' l'' (S s)) as [J1 J2]; [|exact C|].
    { replace (S s * length xs)%nat with (s * length xs + length xs)%nat by lia. exact I1. }
    split; [cbn [seq map]; now rewrite I2, J1|]. intros o x Ho Hx.
    destruct (Nat.eq_dec o s) as [->|N]; [now apply I3|]. apply J2; [lia|exact Hx].
Qed.
End Reading.
