(** * Sums of lines, entry by entry

    - [signed], [plain]: a machine integer as a signed number, and as a number from 0 on;
    - [added_sum]: the sum of two lines, one of them times a number, where no number leaves the 63
      bits.

    The order of the entries is never used: [entry_sum] adds up all entries of a key. Rests on
    Lines.v. *)

From Coq Require Import Lia Psatz ZArith Bool Uint63.
From Coq Require Sint63.
From Lastbit Require Import fast.Lines.
Open Scope Z_scope.

Notation plain := Uint63.to_Z.
Notation signed := Sint63.to_Z.

(** ** Machine integers *)

Lemma plain_range x : 0 <= plain x < 2 ^ 63.
Proof. exact (Uint63.to_Z_bounded x). Qed.

Lemma plain_add a b : plain a + plain b < 2 ^ 63 -> plain (a + b)%uint63 = plain a + plain b.
Proof.
  intros H. rewrite Uint63.add_spec. apply Z.mod_small. generalize (plain_range a) (plain_range b).
  change wB with (2 ^ 63). lia.
Qed.

Lemma plain_magnitude v : plain (magnitude v) = Z.abs (signed v).
Proof.
  unfold Sint63.to_Z. change Sint63.min_int with limit_sum. change (0 - v)%uint63 with (opp v).
  generalize (plain_range v) (plain_range (opp v)). destruct (v <? limit_sum)%uint63; lia.
Qed.

Lemma signed_small x : - 2 ^ 62 <= signed x < 2 ^ 62.
Proof.
  generalize (Sint63.to_Z_bounded x). change (signed Sint63.min_int) with (- 2 ^ 62).
  change (signed Sint63.max_int) with (2 ^ 62 - 1). lia.
Qed.

(** Numbers that agree modulo 2^63, and are small, are equal. *)
Lemma signed_is x z : - 2 ^ 62 <= z < 2 ^ 62 -> plain x = z mod 2 ^ 63 -> signed x = z.
Proof.
  intros H E. rewrite Sint63.to_Z_cmodwB, E. change (2 ^ 63) with wB. rewrite Sint63.cmod_mod.
  apply Sint63.cmod_small. change (wB / 2) with (2 ^ 62). lia.
Qed.

Lemma signed_add x y : Z.abs (signed x) + Z.abs (signed y) < 2 ^ 62 ->
  signed (x + y)%uint63 = signed x + signed y.
Proof.
  intros H. apply Sint63.to_Z_add. rewrite Sint63.to_Z_min, Sint63.to_Z_max.
  change (wB / 2) with (2 ^ 62). lia.
Qed.

Lemma signed_mul x y : Z.abs (signed x) * Z.abs (signed y) < 2 ^ 62 ->
  signed (x * y)%uint63 = signed x * signed y.
Proof.
  intros H. rewrite <- Z.abs_mul in H. apply Sint63.to_Z_mul.
  rewrite Sint63.to_Z_min, Sint63.to_Z_max. change (wB / 2) with (2 ^ 62). lia.
Qed.

Lemma signed_bias x : plain (x + limit_sum)%uint63 = signed x + 2 ^ 62.
Proof.
  assert (R := signed_small x).
  rewrite Uint63.add_spec, <- Sint63.to_Z_mod_Uint63to_Z, Zplus_mod_idemp_l.
  change (plain limit_sum) with (2 ^ 62). apply Z.mod_small. change wB with (2 ^ 63). lia.
Qed.

(** ** Lines, entry by entry *)

(** The number of a line at unit [g]. *)
Fixpoint entry_sum (l : line) (g : nat) : Z :=
  match l with Nil => 0 | Entry h v l => (if Z.of_nat g =? plain h then signed v else 0) +
    entry_sum l g end.

(** The sum of the magnitudes of the entries for units with [p]; of all. *)
Fixpoint norm (p : int -> bool) (l : line) : Z :=
  match l with Nil => 0 | Entry h v l => (if p h then Z.abs (signed v) else 0) + norm p l end.

(** How many entries there are. *)
Fixpoint entries (l : line) : Z := match l with Nil => 0 | Entry _ _ l => 1 + entries l end.

(** All entries are for units before [k]. *)
Fixpoint below (k : nat) (l : line) : Prop :=
  match l with Nil => True | Entry h _ l => plain h < Z.of_nat k /\ below k l end.

(** Every unit. *)
Definition all (g : int) := true.
Notation whole := (norm all).

Lemma whole_cons h v l : whole (Entry h v l) = Z.abs (signed v) + whole l.
Proof. reflexivity. Qed.

Lemma norm_pos p l : 0 <= norm p l.
Proof. induction l as [|h v l IH]; cbn [norm]; [lia|]. destruct (p h); lia. Qed.

Lemma entries_pos l : 0 <= entries l.
Proof. induction l as [|h v l IH]; cbn [entries]; lia. Qed.

Lemma norm_parts p l : norm p l + norm (fun g => negb (p g)) l = whole l.
Proof.
  induction l as [|h v l IH]; cbn [norm]; [lia|]. unfold all at 1. destruct (p h); cbn [negb]; lia.
Qed.

Lemma entry_below k l g : below k l -> (k <= g)%nat -> entry_sum l g = 0.
Proof.
  induction l as [|h v l IH]; intros H Hg; [reflexivity|]. cbn [entry_sum below] in *.
  rewrite IH by tauto. destruct (Z.eqb_spec (Z.of_nat g) (plain h)); lia.
Qed.

Lemma below_later k k' l : (k <= k')%nat -> below k l -> below k' l.
Proof.
  intros H. induction l as [|h v l IH]; cbn [below]; [tauto|]. intros [A B]. split; [lia|tauto].
Qed.

Lemma entry_norm l g : Z.abs (entry_sum l g) <= whole l.
Proof.
  induction l as [|h v l IH]; cbn [entry_sum norm]; [lia|]. unfold all at 1.
  destruct (Z.of_nat g =? plain h); lia.
Qed.

(** ** Sums of two lines *)

(** [r] is [c] times [a], plus [b]. *)
Record sum_of (c : int) (a b r : line) : Prop := {
  s_entry : forall g, entry_sum r g = signed c * entry_sum a g + entry_sum b g;
  s_whole : whole r <= Z.abs (signed c) * whole a + whole b;
  s_entries : entries r <= entries a + entries b;
  s_below : forall k, below k a -> below k b -> below k r }.

Notation fits c a b := (Z.abs (signed c) * whole a + whole b < 2 ^ 62).

Lemma fits_left c g v a b : fits c (Entry g v a) b ->
  Z.abs (signed c) * Z.abs (signed v) < 2 ^ 62 /\ fits c a b.
Proof. rewrite whole_cons. generalize (norm_pos all a) (norm_pos all b). nia. Qed.

Lemma fits_right c g v a b : fits c a (Entry g v b) -> fits c a b.
Proof. rewrite whole_cons. lia. Qed.

Lemma sum_left c g v a b r : fits c (Entry g v a) b -> sum_of c a b r ->
  sum_of c (Entry g v a) b (Entry g (c * v) r).
Proof.
  intros F [E W N B]. apply fits_left in F. assert (M := signed_mul c v (proj1 F)). split.
  - intros j. cbn [entry_sum]. rewrite E, M. destruct (Z.of_nat j =? plain g); lia.
  - rewrite !whole_cons, M, Z.abs_mul. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma sum_right c g v a b r : sum_of c a b r -> sum_of c a (Entry g v b) (Entry g v r).
Proof.
  intros [E W N B]. split.
  - intros j. cbn [entry_sum]. rewrite E. lia.
  - rewrite !whole_cons. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma sum_both c g v w a b r : fits c (Entry g v a) (Entry g w b) -> sum_of c a b r ->
  sum_of c (Entry g v a) (Entry g w b) (Entry g (c * v + w) r).
Proof.
  intros F [E W N B]. assert (M := signed_mul c v (proj1 (fits_left _ _ _ _ _ F))).
  rewrite !whole_cons in F. assert (P := norm_pos all a). assert (P' := norm_pos all b).
  assert (A : signed (c * v + w) = signed c * signed v + signed w).
  { rewrite signed_add, M; [reflexivity|]. rewrite M, Z.abs_mul. nia. }
  split.
  - intros j. cbn [entry_sum]. rewrite E, A. destruct (Z.of_nat j =? plain g); lia.
  - rewrite !whole_cons, A. generalize (Z.abs_triangle (signed c * signed v) (signed w)).
    rewrite Z.abs_mul. lia.
  - cbn [entries]. lia.
  - intros k. cbn [below]. intuition.
Qed.

Lemma scaled_sum c a : fits c a Nil -> sum_of c a Nil (scaled c a).
Proof.
  induction a as [|g v a IH]; intros F.
  - split; intros; cbn [scaled entry_sum norm entries below] in *; try lia; try exact I.
  - cbn [scaled]. apply (sum_left c g v a Nil); [exact F|].
    exact (IH (proj2 (fits_left _ _ _ _ _ F))).
Qed.

Lemma nil_sum c b : sum_of c Nil b b.
Proof. split; intros; cbn [entry_sum norm entries]; try lia; assumption. Qed.

Lemma added_sum c a : forall b, fits c a b -> sum_of c a b (added c a b).
Proof.
  induction a as [|g v a IH]; intros b F; [apply nil_sum|].
  destruct b as [|h w b]; [exact (scaled_sum _ _ F)|]. cbn [added].
  assert (A : forall b, fits c (Entry g v a) b -> sum_of c a b (added c a b))
    by (intros b' F'; exact (IH b' (proj2 (fits_left _ _ _ _ _ F')))).
  destruct (Uint63.eqb_spec g h) as [Q _]. destruct (g =? h)%uint63.
  { rewrite <- (Q eq_refl) in *. apply sum_both; [exact F|]. exact (A _ (fits_right _ _ _ _ _ F)). }
  clear Q. destruct (h <? g)%uint63; [now apply sum_left, A|].
  apply sum_right. apply fits_right in F. clear h w. revert F.
  induction b as [|h w b IHb]; intros F;
  [exact (scaled_sum _ _ F)|].
  destruct (g <? h)%uint63; [exact (sum_right _ _ _ _ _ _ (IHb (fits_right _ _ _ _ _ F)))|].
  destruct (Uint63.eqb_spec g h) as [Q _]. destruct (g =? h)%uint63; [|now apply sum_left, A].
  rewrite <- (Q eq_refl) in *. apply sum_both; [exact F|]. exact (A _ (fits_right _ _ _ _ _ F)).
Qed.
